"""A model folder or hub id becomes a backbone file: once, cached, and from then on without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from crackscope.data.cache import cache_folder
from crackscope.model.bundle import write_model

__all__ = ["backbone_file", "source_digest"]

_VERSION = "backbone-2"
_ENDINGS = (".json", ".safetensors", ".bin")


def backbone_file(source: str, *, n_blocks: int | None = None, until: str | None = None) -> Path:
    """Path of the backbone file of a model folder or hub id, made (extra ``train``) if it is not in the cache.

    Args:
        source: A folder as the hub lays it out, known by its content; or a hub id, known by its name.
        n_blocks: The first so many blocks alone, a trunk: its feature map is that of the last of them.
        until: Where the backbone ends, see `crackscope.training.torch.backbones.FeatureMap.ending`.

    Raises:
        DataError: If the source cannot be found or is of an unknown family.
        BundleError: If the graph does not agree with torch.
        MissingExtraError: If it is not in the cache and the extra is not installed.
    """
    cut = "" if n_blocks is None else f" {n_blocks} blocks"
    cut += "" if until is None or n_blocks is not None else f" until {until}"
    name = hashlib.sha256(f"{_VERSION} {source_digest(source)}{cut}".encode()).hexdigest()[:24]
    path = cache_folder() / "backbones" / f"{name}.onnx"
    if not path.is_file():
        from crackscope.training.torch.backbones import feature_dim, load_backbone
        from crackscope.training.torch.export import export_backbone

        module, card = load_backbone(source, until=until)
        if n_blocks is not None:
            module = module.cut(n_blocks)[0]
            card = card.model_copy(update={"feature_dim": feature_dim(module)})
        write_model(export_backbone(module, card), path, overwrite=True)
    return path


def source_digest(source: str) -> str:
    """What tells two sources apart: the digest of a folder's files, or the hub id itself."""
    folder = Path(source)
    if not folder.is_dir():
        return source
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix in _ENDINGS:
            digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
