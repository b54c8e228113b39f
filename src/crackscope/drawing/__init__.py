"""Drawn, seeded pictures: walls with cracks of known path and width, and what goes wrong with photographs."""
