"""Labelled patches and photos, and how they are split without leaks."""
