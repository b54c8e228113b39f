"""Training by epochs: all that imports PyTorch, which the extra `train` brings."""
