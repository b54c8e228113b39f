"""Scanning: images become answers, a patch its label, a photo its map, its regions and its verdict."""
