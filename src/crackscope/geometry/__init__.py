"""Geometry: widths of cracks in pixels, the blur of a photo, and its scale in millimetres per pixel."""
