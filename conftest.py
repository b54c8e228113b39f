"""What holds for every test before anything is imported."""

from __future__ import annotations

import os

# Several workers share the cores, and each runs several threads of its own: a library that takes all cores for one sum
# would only wait for the others. numpy and torch read this when they are loaded.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
