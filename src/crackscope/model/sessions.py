"""Running a graph: one ONNX Runtime session, patches one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from crackscope.arrays import Float32Array, UInt8Array
from crackscope.model.preprocessing import resize_patch

__all__ = ["open_session", "run_patches"]


def open_session(content: bytes, *, threads: int = 1, plan_memory: bool = True) -> Any:
    """An ONNX Runtime session of a model's bytes.

    Args:
        content: Of the model file.
        threads: For one run; patches run side by side, on one each.
        plan_memory: One piece for a whole run: a little faster, and up to twice the size, which tells on large images.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = plan_memory
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_patches(session: Any, patches: Sequence[UInt8Array], output: str, *, patch_px: int) -> Float32Array:
    """Resize patches by the one rule and run them, one by one.

    On a CPU a batch of one is the fastest per image, since its activations stay in the cache; several threads each run
    their own. So neither the order nor the company of a patch can touch its result.

    Args:
        session: From `open_session`.
        patches: Arrays (H, W, 3), uint8, RGB, of any sizes.
        output: Name of an output of the graph, with the batch first.
        patch_px: From the card.

    Returns:
        Array of shape (n, width of the output), float32, in the order of the patches; (0, 1) of none.
    """
    rows = [
        session.run([output], {"pixels": resize_patch(pixels, patch_px=patch_px)[None]})[0][0] for pixels in patches
    ]
    return np.stack(rows) if rows else np.empty((0, 1), np.float32)
