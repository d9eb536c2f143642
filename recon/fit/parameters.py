"""The parameters of a fit and their Adam moments, on the device of the renderer."""

from __future__ import annotations

import torch
from torch import Tensor

from recon.arrays import F32, I64
from recon.fit import adam_kernels
from recon.fit.adam_kernels import BETA_1, BETA_2, EPSILON


class Parameters:
    """A matrix (N, C) of which every image moves some rows; a numba kernel does it on the CPU, torch elsewhere."""

    def __init__(self, values: F32, low: F32, high: F32, device: torch.device) -> None:
        """Take the matrix and the bounds (C,) of its columns; column 0 is the height."""
        self._low, self._high = low, high
        self._values = torch.from_numpy(values.copy()).to(device)
        self._first, self._second = torch.zeros_like(self._values), torch.zeros_like(self._values)
        self._steps = torch.zeros(len(values), dtype=torch.int32, device=device)
        self._on_cpu = device.type == "cpu"
        # Which cells an image sees is decided on the host: it keeps the heights.
        self.heights: F32 = self._values.numpy()[:, 0] if self._on_cpu else values[:, 0].copy()

    def take(self, rows: I64) -> Tensor:
        """Return a copy (M, C) of some rows as a leaf that collects a gradient."""
        return self._values[torch.from_numpy(rows).to(self._values.device)].requires_grad_()

    def step(self, rows: I64, gradient: Tensor, rates: F32) -> None:
        """Move distinct rows by an Adam step against `gradient` (M, C), each counting its own steps, and clamp them."""
        if self._on_cpu:
            state = (t.numpy() for t in (self._values, self._first, self._second, self._steps))
            adam_kernels.update(rows, gradient.numpy(), *state, rates, self._low, self._high)
        else:
            self.step_in_torch(rows, gradient, rates)
            self.heights[rows] = self._values[torch.from_numpy(rows).to(gradient.device), 0].cpu().numpy()

    def step_in_torch(self, rows: I64, gradient: Tensor, rates: F32) -> None:
        """Do what the kernel does with torch operations."""
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
