"""Auditing: what is wrong with a labelled set: doubtful labels, copies, leaks, faulty pictures, damaged files."""
