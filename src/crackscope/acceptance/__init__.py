"""Whether a model may be used on a site, decided from a labelled sample."""
