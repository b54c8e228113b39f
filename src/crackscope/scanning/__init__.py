"""Images become answers: a patch its label, a photo its map and its verdict."""
