"""Data: labelled patches and photos, what is alike among them, splits without leaks, a cache of computed rows."""
