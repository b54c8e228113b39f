"""What is wrong with a labelled set."""
