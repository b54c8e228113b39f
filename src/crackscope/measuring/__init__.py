"""Measuring: figures with intervals, of how well a model does, where it fails, and how two models compare."""
