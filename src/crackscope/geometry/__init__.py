"""Geometry: the scale of a photo, how long a pixel is."""
