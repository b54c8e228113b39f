"""The wheel carries the default bundle: built, installed in a fresh environment elsewhere, it predicts."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from crackscope.drawing.walls import draw_patch

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_wheel_predicts_outside_the_clone(tmp_path: Path) -> None:
    import cv2

    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("crackscope-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"crackscope/assets/default.onnx", "crackscope/assets/default-int8.onnx"} <= set(names)
    assert {"crackscope/reports/templates/evaluation.html", "crackscope/py.typed"} <= set(names)
    assert not [name for name in names if name.endswith((".jpg", ".tar", ".safetensors"))]
    environment = tmp_path / "fresh"
    venv.create(environment, with_pip=True)
    python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    cv2.imwrite(str(tmp_path / "patch.png"), draw_patch(1).pixels)
    predict = [str(python), "-m", "crackscope", "predict", "patch.png", "--out", "p.csv"]
    subprocess.run(predict, check=True, capture_output=True, cwd=tmp_path)
    assert "patch.png,patch," in (tmp_path / "p.csv").read_text()
