"""Small bundles that old versions wrote, and what those versions answered. See README.md."""
