"""Acceptance: whether a model may be used on a site, decided from a labelled sample of its photos."""
