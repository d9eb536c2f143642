"""The parameters of a fit: their columns, first values, bounds and rates, and the Adam steps that move them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from recon.arrays import F32, I64, AnyArray
from recon.classes import CLASS_COUNT
from recon.config import FitConfig
from recon.fit import adam_kernels
from recon.fit.adam_kernels import BETA_1, BETA_2, EPSILON
from recon.fit.prepare import PreparedTile
from recon.render.surfels import SIGMA_MAX_CELLS

# Columns of the parameter matrix
Z, TILT, SCALE, OPACITY, RGB, LOGITS = slice(0, 1), slice(1, 3), slice(3, 5), slice(5, 6), slice(6, 9), slice(9, 18)
COLUMNS = 9 + CLASS_COUNT
INITIAL_SIGMA_CELLS = 0.6
INITIAL_OPACITY = 2.0  # logit: 0.88, so that opacity has a gradient from the first step
SHARE_FLOOR = 0.02  # a class without votes starts improbable, not impossible


def initial_parameters(tile: PreparedTile, config: FitConfig) -> F32:
    """Return the (N, COLUMNS) parameter matrix that the observations give."""
    parameters = np.zeros((len(tile.cells), COLUMNS), dtype=np.float32)
    parameters[:, Z] = tile.z[:, None]
    parameters[:, TILT] = tile.tilt
    parameters[:, SCALE] = math.log(INITIAL_SIGMA_CELLS * config.cell_m)
    parameters[:, OPACITY] = INITIAL_OPACITY
    parameters[:, RGB] = tile.observations.rgb
    parameters[:, LOGITS] = np.log(tile.observations.class_share + SHARE_FLOOR)
    return parameters


def bounds(config: FitConfig) -> tuple[F32, F32]:
    """Return the least and the greatest value of every column (COLUMNS,)."""
    low, high = np.full(COLUMNS, -np.inf, np.float32), np.full(COLUMNS, np.inf, np.float32)
    low[TILT], high[TILT] = -1.0, 1.0
    low[SCALE], high[SCALE] = math.log(0.3 * config.cell_m), math.log(SIGMA_MAX_CELLS * config.cell_m)
    low[OPACITY], high[OPACITY] = -4.0, 6.0
    low[RGB], high[RGB] = 0.0, 1.0
    low[LOGITS], high[LOGITS] = -12.0, 12.0
    return low, high


def rates_at(progress: float) -> F32:
    """Return the Adam rate of every column (COLUMNS,) when a share `progress` of the steps is done."""
    rates = np.zeros(COLUMNS, dtype=np.float32)
    rates[Z] = 2e-3 * 0.1**progress  # metres a step: a few cm over the visits of one cell
    rates[TILT] = 1e-3 * 0.1**progress
    rates[SCALE], rates[OPACITY] = 5e-3, 1e-2
    rates[RGB], rates[LOGITS] = 8e-3, 5e-2
    return rates


class Parameters:
    """A matrix (N, C) of which every image updates some rows, by a numba kernel on the CPU and by torch elsewhere."""

    def __init__(self, values: F32, low: F32, high: F32, device: torch.device) -> None:
        """Start from the matrix and the bounds (C,) of its columns; column Z is the height."""
        self._low, self._high = low, high
        self._values = torch.from_numpy(values.copy()).to(device)
        self._first, self._second = torch.zeros_like(self._values), torch.zeros_like(self._values)
        self._steps = torch.zeros(len(values), dtype=torch.int32, device=device)
        self._on_cpu = device.type == "cpu"
        # The cells in view of an image are chosen on the host, which therefore keeps the heights.
        self.heights: F32 = self._values.numpy()[:, 0] if self._on_cpu else values[:, 0].copy()

    def state(self) -> dict[str, AnyArray]:
        """Return all that steps change, by name; on the CPU not copies."""
        return {name: tensor.cpu().numpy() for name, tensor in self._tensors().items()}

    def restore(self, state: Mapping[str, AnyArray]) -> None:
        """Continue from what `state` returned; raises KeyError or RuntimeError for that of another tile."""
        for name, tensor in self._tensors().items():
            tensor.copy_(torch.from_numpy(state[name]))
        if not self._on_cpu:
            self.heights[:] = state["values"][:, 0]

    def _tensors(self) -> dict[str, Tensor]:
        return {"values": self._values, "first": self._first, "second": self._second, "steps": self._steps}

    def take(self, rows: I64) -> Tensor:
        """Return a copy (M, C) of some rows as a leaf that collects a gradient."""
        return self._values[torch.from_numpy(rows).to(self._values.device)].requires_grad_()

    def step(self, rows: I64, gradient: Tensor, rates: F32) -> None:
        """Update distinct rows by an Adam step against `gradient` (M, C), each with its own count, and clamp them."""
        if self._on_cpu:
            state = (t.numpy() for t in (self._values, self._first, self._second, self._steps))
            adam_kernels.update(rows, gradient.numpy(), *state, rates, self._low, self._high)
        else:
            self.step_in_torch(rows, gradient, rates)
            self.heights[rows] = self._values[torch.from_numpy(rows).to(gradient.device), 0].cpu().numpy()

    def step_in_torch(self, rows: I64, gradient: Tensor, rates: F32) -> None:
        """Do the step in torch operations, for other devices."""
        device = gradient.device
        at = torch.from_numpy(rows).to(device)
        rate, low, high = (torch.from_numpy(bound).to(device) for bound in (rates, self._low, self._high))
        self._steps[at] += 1
        count = self._steps[at, None].double()
        first = BETA_1 * self._first[at] + (1 - BETA_1) * gradient
        second = BETA_2 * self._second[at] + (1 - BETA_2) * gradient.square()
        self._first[at], self._second[at] = first, second
        rise = (second / (1 - BETA_2**count)).sqrt() + EPSILON
        move = (rate * first / (1 - BETA_1**count) / rise).float()
        self._values[at] = torch.clamp(self._values[at] - move, low, high)

    def numpy(self) -> F32:
        """Return the matrix on the host."""
        values: F32 = self._values.cpu().numpy()
        return values
