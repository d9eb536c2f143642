"""Rows moved by torch are where the kernel moves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slope_world
import torch

from recon.config import FitConfig
from recon.fit import losses
from recon.fit.fit import fit
from recon.fit.parameters import Parameters
from recon.render import vectorized
from recon.views.views import Trip


def test_torch_moves_rows_as_the_kernel_does() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(7, 4)).astype(np.float32)
    low, high = np.full(4, -1.0, np.float32), np.full(4, 1.2, np.float32)
    fast, slow = (Parameters(values, low, high, torch.device("cpu")) for _ in range(2))
    for step in range(8):
        rows = generator.choice(7, size=3 + step % 3, replace=False).astype(np.int64)
        gradient = torch.from_numpy(generator.normal(size=(len(rows), 4)).astype(np.float32))
        rates = np.array([0.1, 0.01, 0.3, 0.0], np.float32)
        fast.step(rows, gradient, rates)
        slow.step_in_torch(rows, gradient, rates)
    assert np.allclose(fast.numpy(), slow.numpy(), atol=1e-5)
    assert not np.allclose(fast.numpy(), values, atol=0.05)
    assert np.array_equal(fast.heights, fast.numpy()[:, 0])


def test_taken_rows_are_a_copy_that_collects_a_gradient() -> None:
    bound = np.full(2, np.inf, np.float32)
    parameters = Parameters(np.ones((3, 2), np.float32), -bound, bound, torch.device("cpu"))
    taken = parameters.take(np.array([2, 0]))
    (3.0 * taken).sum().backward()
    assert taken.grad is not None
    assert taken.grad.tolist() == [[3.0, 3.0]] * 2
    with torch.no_grad():
        taken += 5.0
    assert (parameters.numpy() == 1.0).all()


@pytest.mark.slow
def test_a_fit_without_kernels_finds_the_same_road(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drive, labels = slope_world.write_drive(tmp_path)
    trips, config = [Trip(drive=drive, labels=labels)], FitConfig(corridor_m=6.0, max_distance_m=12.0, renderer="cpu")
    here = fit(trips, config)
    # What a GPU does, on the CPU.
    monkeypatch.setattr("recon.fit.fit.choose", lambda name: (vectorized.render, torch.device("cpu")))
    monkeypatch.setattr(losses, "smoothness", losses.smoothness_in_torch)
    monkeypatch.setattr(Parameters, "step", Parameters.step_in_torch)
    there = fit(trips, config)
    assert np.array_equal(here.views, there.views)
    assert np.quantile(np.abs(here.z - there.z), 0.99) < 1e-5
    assert np.quantile(np.abs(here.class_logits - there.class_logits), 0.99) < 1e-3
    assert here.report["losses"].keys() == there.report["losses"].keys()
