"""Geometry: the scale of a photo in millimetres per pixel."""
