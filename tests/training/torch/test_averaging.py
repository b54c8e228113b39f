"""The running average of the weights: what it is, and that it goes on exactly."""

from __future__ import annotations

import io

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

import torch
from torch import nn

from crackscope.training.torch.averaging import WeightAverage


def module() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def stepped(learning: nn.Sequential, average: WeightAverage, n: int) -> list[torch.Tensor]:
    """Weights after each of some random steps."""
    seen = []
    for _ in range(n):
        learning(torch.randn(4, 3))  # moves the batch statistics too
        with torch.no_grad():
            learning.get_parameter("0.weight").add_(torch.randn(2, 3))
        average.update()
        seen.append(learning.get_parameter("0.weight").detach().clone())
    return seen


def test_it_is_the_exponential_average_with_a_short_beginning() -> None:
    learning = module()
    expected = learning.get_parameter("0.weight").detach().clone()
    average = WeightAverage(learning, 0.5)
    for t, weight in enumerate(stepped(learning, average, 20)):
        decay = min(0.5, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * weight
    torch.testing.assert_close(average.average["0.weight"], expected)


def test_without_decay_it_is_the_last_step() -> None:
    learning = module()
    average = WeightAverage(learning, 0.0)
    stepped(learning, average, 3)
    for name, value in learning.state_dict().items():
        assert torch.equal(average.average[name], value)


def test_batch_statistics_are_averaged_and_their_count_taken_over() -> None:
    learning = module()
    average = WeightAverage(learning, 0.9)
    stepped(learning, average, 5)
    assert average.average["1.num_batches_tracked"] == 5
    assert not torch.equal(average.average["1.running_mean"], learning.state_dict()["1.running_mean"])


def test_the_module_has_it_inside_and_its_own_weights_afterwards() -> None:
    learning = module()
    average = WeightAverage(learning, 0.9)
    stepped(learning, average, 5)
    own = {name: value.clone() for name, value in learning.state_dict().items()}

    def interrupted() -> None:
        with average.applied():
            assert torch.equal(learning.get_parameter("0.weight"), average.average["0.weight"])
            assert not torch.equal(learning.get_parameter("0.weight"), own["0.weight"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert all(torch.equal(value, own[name]) for name, value in learning.state_dict().items())


def test_a_saved_one_goes_on_as_if_it_had_not_stopped() -> None:
    learning = module()
    average = WeightAverage(learning, 0.8)
    stepped(learning, average, 3)
    buffer = io.BytesIO()
    torch.save({"average": average.state_dict(), "learning": learning.state_dict()}, buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    torch.manual_seed(5)
    stepped(learning, average, 4)
    other = module()
    other.load_state_dict(saved["learning"])
    resumed = WeightAverage(other, 0.8)
    resumed.load_state_dict(saved["average"])
    torch.manual_seed(5)
    stepped(other, resumed, 4)
    assert resumed.n_steps == average.n_steps
    assert all(torch.equal(value, resumed.average[name]) for name, value in average.average.items())
