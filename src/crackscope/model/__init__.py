"""The model file (the bundle): its card, its graph, and all that is needed to run it."""
