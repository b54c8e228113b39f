"""Scanning: a patch gets its label; a photo gets its map, its regions and its verdict."""
