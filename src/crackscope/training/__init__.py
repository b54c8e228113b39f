"""From patches and a backbone to a bundle. `head` needs the core alone; `torch/` needs the extra `train`."""
