"""What several test files draw, write or run, each thing made in one place."""
