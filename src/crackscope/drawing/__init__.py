"""Drawing: drawn walls with cracks of known path and width, and photos spoilt in known ways; all by seeds."""
