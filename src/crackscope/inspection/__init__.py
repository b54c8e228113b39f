"""Inspection: cracks get their element, their band and their priority, each with its reason."""
