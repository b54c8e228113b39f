"""Geometry: lines of cracks, their lengths and widths in pixels, the blur of a photo, and its scale."""
