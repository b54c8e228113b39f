"""Conversion: a model folder or hub id becomes a backbone file, once; from then on it is used without torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from crackscope.data.cache import cache_folder
from crackscope.model.bundle import write_model
from crackscope.training.sources import require_known_folder

__all__ = ["convert_backbone", "require_convertible", "source_digest"]


_VERSION = "backbone-2"
_ENDINGS = (".json", ".safetensors", ".bin")


def convert_backbone(source: str, *, n_blocks: int | None = None, until: str | None = None) -> Path:
    """Turn a model folder or hub id into a backbone file (extra ``train``).

    The file is kept in the cache, so the work is done once. Its path can be given as ``backbone`` to
    `crackscope.train`.

    Args:
        source: Path of a folder as the Hugging Face hub lays it out, or a hub id such as
            ``google/mobilenet_v2_1.0_224``.
        n_blocks: Number of blocks to keep, from the first on; the feature map is that of the last one kept. All are
            kept if left out.
        until: Name of the last block to keep, or the first layer of a block, such as ``block_13.expand_1x1``; all are
            kept if left out.

    Returns:
        The path of the backbone file, an ONNX file in the cache.

    Raises:
        DataError: If the source cannot be found or is of an unknown family, or there is no such block.
        BundleError: If the graph does not agree with torch.
        MissingExtraError: If the file is not in the cache and the extra is not installed.
    """
    path = _place(source, n_blocks=n_blocks, until=until)
    if not path.is_file():
        require_convertible(source)
        from crackscope.training.torch.backbones import feature_dim, load_backbone
        from crackscope.training.torch.export import export_backbone

        module, card = load_backbone(source, until=until)
        if n_blocks is not None:
            module = module.cut(n_blocks)[0]
            card = card.model_copy(update={"feature_dim": feature_dim(module)})
        write_model(export_backbone(module, card), path, overwrite=True)
    return path


def require_convertible(source: str) -> None:
    """Refuse what cannot be converted, before any image is read and any weights are fetched.

    A folder is judged by its files alone. For a hub id, ``config.json`` is fetched where it is not in the hub's cache.

    Args:
        source: Path of a model folder, or a hub id.

    Raises:
        DataError: If it is neither a folder nor a hub id, or its backbone is of a kind that is not known.
        MissingExtraError: If the extra ``train`` is not installed.
    """
    require_known_folder(source)
    import crackscope.training.torch  # noqa: F401  # says which package of the extra is missing

    if not Path(source).is_dir():
        from crackscope.training.torch.backbones import require_known_hub_id

        require_known_hub_id(source)


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


def _place(source: str, *, n_blocks: int | None, until: str | None) -> Path:
    """Where the converted file is kept."""
    cut = "" if n_blocks is None else f" {n_blocks} blocks"
    cut += "" if until is None or n_blocks is not None else f" until {until}"
    name = hashlib.sha256(f"{_VERSION} {source_digest(source)}{cut}".encode()).hexdigest()[:24]
    return cache_folder() / "backbones" / f"{name}.onnx"
