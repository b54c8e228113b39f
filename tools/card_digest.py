"""Put the digest of its card into model files that were written without one; nothing else changes.

    python tools/card_digest.py FILE ...

Bundles of crackscope 0.1 hold the digest of their graph, and none of their card. Each FILE is read and checked, gets
the digest in its metadata, and is written in place. Graph, weights and card stay as they are, so all answers stay the
same. A file that has its digest is left alone. The same file gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import onnx

from crackscope.model.bundle import graph_digest, read_bundle, write_model
from crackscope.model.graphs import CARD_KEY, DIGEST, make_model, with_digest


def main() -> None:
    """Read the files that the command line names, and write each with its digest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    for file in parser.parse_args().files:
        print(f"{file}: {add_digest(file)}")


def add_digest(file: Path) -> str:
    """Write one bundle with the digest of its card; return what was done, in words."""
    before = read_bundle(file)
    model = onnx.load_model_from_string(before.content)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if CARD_KEY + DIGEST in metadata:
        return "has its digest"
    changed = make_model(model.graph, with_digest(CARD_KEY, metadata[CARD_KEY]))
    assert graph_digest(changed.graph) == before.card.graph_sha256
    write_model(changed, file, overwrite=True)
    after = read_bundle(file)
    assert after.card == before.card
    assert after.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    return f"{before.sha256[:12]} became {after.sha256[:12]}"


if __name__ == "__main__":
    main()
