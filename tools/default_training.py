"""The training of `default_model.py`: a loop that can be resumed at any step. `default_source.py` gives the steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from crackscope.files.output import new_file
from crackscope.files.streaming import default_threads, ordered_map
from crackscope.training.torch.averaging import WeightAverage
from crackscope.training.torch.network import fast_convolutions
from crackscope.training.torch.process import own_threads
from default_network import TOLD, Network, step_loss
from default_settings import Settings
from default_source import Source, Step

SAVED_EVERY_S = 120.0
TOLD_EVERY = 100  # steps between two lines of progress
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Training:
    """State of a training, as a checkpoint holds it: network, average of weights, optimiser and schedule.

    Args:
        settings: Settings of the training.
        network: Network in inference mode: batch normalisation keeps its statistics, and its factors are trained.
        checkpoint: Path of the checkpoint to go on from and to write; one of another training ends the program.
        learns: Names of the sets that are trained on.
    """

    def __init__(self, settings: Settings, network: Network, checkpoint: Path, *, learns: Sequence[str]) -> None:
        self.settings, self.network, self.checkpoint = settings, network.to(DEVICE), checkpoint
        self.average = WeightAverage(network, settings.average)
        self.learning = list(self.network.parameters())
        fine = list(self.network.fine.parameters()) if self.network.fine is not None else []
        new = {id(one) for one in fine}
        groups = [{"params": [one for one in self.learning if id(one) not in new]}, {"params": fine}]
        rates = [settings.peak_rate, settings.fine_rate] if fine else [settings.peak_rate]
        self.optimiser = torch.optim.AdamW(
            groups[: len(rates)], lr=settings.peak_rate, weight_decay=settings.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, rates, settings.decay, pct_start=settings.warm_up / settings.decay
        )
        self.n_steps = 0
        self._identity = {**settings.model_dump(exclude={"name"}), "learns": list(learns)}
        self._parts = {name: getattr(self, name) for name in ("network", "average", "optimiser", "schedule")}
        if checkpoint.exists():
            saved = torch.load(checkpoint, map_location=DEVICE)
            if saved.get("identity") != self._identity:
                raise SystemExit(f"{checkpoint} is of a training with other settings or sets. Give another --work.")
            self.n_steps = saved["n_steps"]
            for name, part in self._parts.items():
                part.load_state_dict(saved[name])

    def run(self, source: Source, *, until: int | None = None) -> None:
        """Do all remaining steps, or those until a step."""
        last = min(self.settings.steps, until or self.settings.steps)
        self.network.to(DEVICE)
        sums, begun, saved_at, first = np.zeros(len(TOLD)), time.monotonic(), time.monotonic(), self.n_steps
        n_threads = torch.get_num_threads() if DEVICE == "cpu" else 1
        prepared = ordered_map(source.step, range(first, last), threads=default_threads())
        with (
            fast_convolutions(self.network.blocks),
            own_threads(1),
            ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        ):
            for step in prepared:
                sums += self._learn(step, pool, n_threads)
                if self.n_steps % TOLD_EVERY == 0:
                    self._tell(sums / TOLD_EVERY, (time.monotonic() - begun) / (self.n_steps - first))
                    sums[:] = 0
                if time.monotonic() - saved_at > SAVED_EVERY_S or self.n_steps == last:
                    self._save()
                    saved_at = time.monotonic()
        self.network.to("cpu")

    def _learn(self, step: Step, pool: ThreadPoolExecutor, n_shares: int) -> np.ndarray:
        """Do one step, divided among threads with a core each; give loss and shares of cracks and of right answers."""
        n_shares = min(n_shares, len(step.patches))  # no share may be empty
        shares = [step.share(i, n_shares) for i in range(n_shares)]
        found = list(pool.map(lambda share: self._gradients(share, step), shares))
        for one, *gradients in zip(self.learning, *(gradients for gradients, _ in found), strict=True):
            one.grad = gradients[0] if len(gradients) == 1 else torch.stack(gradients).sum(0)
        self.optimiser.step()
        self.schedule.step()
        self.average.update()
        self.n_steps += 1
        return np.asarray(np.sum([told for _, told in found], axis=0))

    def _gradients(self, share: Step, step: Step) -> tuple[Sequence[torch.Tensor], np.ndarray]:
        """Gradients of the part that a share has in the step's mean loss, and its part in the step's figures."""
        with torch.autocast(DEVICE, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            loss, told = step_loss(self.network, share, step, self.settings)
        return torch.autograd.grad(loss, self.learning), told

    def _tell(self, means: np.ndarray, seconds: float) -> None:
        left = seconds * (self.settings.steps - self.n_steps) / 60
        figures = ", ".join(f"{name} {value:.3f}" for name, value in zip(TOLD, means, strict=True))
        print(
            f"step {self.n_steps}/{self.settings.steps}: {figures}; {seconds:.2f} s a step, about {left:.0f} min left",
            flush=True,
        )

    def _save(self) -> None:
        with new_file(self.checkpoint, overwrite=True) as part:
            torch.save(
                {
                    "identity": self._identity,
                    "n_steps": self.n_steps,
                    **{name: own.state_dict() for name, own in self._parts.items()},
                },
                part,
            )
