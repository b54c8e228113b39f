"""Inspection: from cracks to findings, with numbers that last, elements, bands and priorities."""
