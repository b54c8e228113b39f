"""Weight averaging: a running average generalises better than the last step's weights (Polyak & Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["WeightAverage"]

State = dict[str, torch.Tensor]


class WeightAverage:
    """The exponential moving average of a module's state, step by step.

    Early on the average is shorter, so that it soon forgets where it began: the decay of step ``t`` is
    ``min(decay, (1 + t) / (10 + t))``, as in TensorFlow's ``ExponentialMovingAverage``.

    Args:
        module: Module that learns.
        decay: Weight of the average so far, in [0, 1).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay, self.n_steps = module, decay, 0
        self.average: State = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Count in the weights as they are after a step."""
        decay = min(self.decay, (1 + self.n_steps) / (10 + self.n_steps))
        self.n_steps += 1
        for name, value in self.module.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module has the averaged weights inside, and its own again afterwards."""
        own = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        self.module.load_state_dict(self.average)
        try:
            yield
        finally:
            self.module.load_state_dict(own)

    def state_dict(self) -> dict[str, State | int]:
        """What `load_state_dict` needs to go on."""
        return {"average": self.average, "n_steps": self.n_steps}

    def load_state_dict(self, state: dict[str, State | int]) -> None:
        """Go on where another one stood."""
        average, n_steps = state["average"], state["n_steps"]
        assert isinstance(average, dict)
        assert isinstance(n_steps, int)
        self.n_steps = n_steps
        self.average = {name: value.clone() for name, value in average.items()}
