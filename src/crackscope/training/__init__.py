"""Training: from patches and a backbone to a bundle.

The recipe `head` needs the core alone; what lies in `torch/` needs the extra `train`.
"""
