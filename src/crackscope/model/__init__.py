"""Models: the model file (the bundle), its card and its graph, and all that is needed to make, read and run it."""
