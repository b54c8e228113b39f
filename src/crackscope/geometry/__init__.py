"""How long a pixel is."""
