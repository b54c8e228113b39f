"""Drawing: seeded walls with cracks of known path and width, and photographs made worse in known ways."""
