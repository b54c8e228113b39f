"""From patches and a backbone to a bundle. `head` needs the core alone; the other modules need the extra ``train``."""
