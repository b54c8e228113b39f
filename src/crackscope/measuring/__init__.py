"""Figures with intervals: how well a model does, and how two compare."""
