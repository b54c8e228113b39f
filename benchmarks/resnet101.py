"""Make first weights for ResNet-101 from those of ResNet-50, and run the recipe `resnet101` with them.

    python benchmarks/resnet101.py DATA --resnet50 MODEL_FOLDER --work WORK [--split SPLIT]

The two networks differ only in their third stage: ResNet-101 has 23 blocks there, ResNet-50 has 6. In the 17 further
blocks, the last batch normalisation is set to zero, so each block returns its input (Chen et al. 2016, Net2Net: a
deeper network with the same function). The whole ResNet-101 then computes the features of ResNet-50. So this program
shows that the recipe runs on the real architecture, and how fast. The accuracy is that of ResNet-50's features. The
program prints the figures on part test.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from crackscope.training.torch.backbones import load_backbone

DEPTHS_50, DEPTHS_101 = [3, 4, 6, 3], [3, 4, 23, 3]


def deepen(resnet50: Path, out: Path) -> None:
    transformers_any: Any = transformers  # it is typed in parts
    transformers_any.utils.logging.set_verbosity_error()
    source = transformers.AutoModel.from_pretrained(resnet50, dtype=torch.float32)
    if source.config.depths != DEPTHS_50:
        raise SystemExit(f"{resnet50}: depths {source.config.depths}, not those of ResNet-50. Give its folder.")
    config = transformers.AutoConfig.from_pretrained(resnet50, depths=DEPTHS_101)
    torch.manual_seed(0)
    deep = transformers_any.AutoModel.from_config(config)
    missing, unexpected = deep.load_state_dict(source.state_dict(), strict=False)
    assert not unexpected
    assert all(int(n) >= 6 for name in missing for n in re.findall(r"stages\.2\.layers\.(\d+)", name) or [-1])
    for block in deep.encoder.stages[2].layers[6:]:
        torch.nn.init.zeros_(block.layer[-1].normalization.weight)
    deep.save_pretrained(out)
    for file in resnet50.glob("preprocessor_config.json"):
        (out / file.name).write_bytes(file.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    for option in ("--resnet50", "--work"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--split", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    folder, run = given.work / "resnet-101-from-50", given.work / "run"
    deepen(given.resnet50, folder)
    pixels = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32))
    with torch.inference_mode():
        found, expected = (load_backbone(str(place))[0](pixels) for place in (folder, given.resnet50))
    print(f"features differ from ResNet-50's by at most {float((found - expected).abs().max()):.1e}")
    command = [sys.executable, "-m", "crackscope", "train", str(given.data), "--recipe", "resnet101"]
    command += ["--backbone", str(folder), "--out", str(run), "--resume"]
    subprocess.run([*command, *(["--split", str(given.split)] if given.split else [])], check=True)
    document = json.loads((run / "run.json").read_text())
    print(json.dumps({key: document[key] for key in ("parameters", "seconds", "agreement_with_torch")}))


if __name__ == "__main__":
    main()
