"""The terms of the loss, each a named scalar, and their means over the epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recon.arrays import AnyArray
from recon.errors import RoadscribeError
from recon.fit import smooth_kernels
from recon.render.surfels import Rendering, Surfels

TERMS = ("rgb", "class", "smooth", "lidar", "exposure")

ALPHA_SEEN = 0.5  # pixels whose ray hits less surface than this lie beyond the edge of the known surface
HEIGHT_SCALE_M = 0.01  # beyond, a height residual counts linearly: kerbs stay sharp
LIDAR_SCALE_M = 0.03
EXPOSURE_RATE = 1e-3
ADAM_PARTS = ("step", "exp_avg", "exp_avg_sq")  # names of PyTorch
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """The observed values of P pixels of one image."""

    rgb: Tensor  # (P, 3) 0..1
    ids: Tensor  # (P,) RoadClass, never UNKNOWN
    confidence: Tensor  # (P,) 0..1
    runner_up: Tensor  # (P,) RoadClass
    runner_up_confidence: Tensor  # (P,) 0..1, 0 where there is none
    ground: Tensor  # (P,) bool: the class is one of GROUND, so the colour counts


class Exposure:
    """Affine exposure of each camera: observed = exp(a) rgb + b."""

    def __init__(self, cameras: Sequence[str], device: torch.device = CPU) -> None:
        self._pairs = {name: torch.zeros(2, device=device, requires_grad=True) for name in cameras}
        # One optimiser a camera: a step moves only the camera whose image it rendered.
        self._optimisers = {name: torch.optim.Adam([pair], lr=EXPOSURE_RATE) for name, pair in self._pairs.items()}

    def apply(self, camera: str, rgb: Tensor) -> Tensor:
        """Return colours (P, 3) under this camera's exposure."""
        pair = self._pairs[camera]
        return torch.exp(pair[0]) * rgb + pair[1]

    def prior(self) -> Tensor:
        """Return the mean square of all pairs: overall brightness belongs to the surface."""
        return torch.stack(list(self._pairs.values())).square().mean()

    def step(self) -> None:
        """Step the cameras that have a gradient."""
        for name, optimiser in self._optimisers.items():
            if self._pairs[name].grad is not None:
                optimiser.step()
                optimiser.zero_grad()

    def state(self) -> dict[str, AnyArray]:
        """Return all that steps change, by name."""
        arrays: dict[str, AnyArray] = {name: pair.detach().cpu().numpy() for name, pair in self._pairs.items()}
        for name, pair in self._pairs.items():
            for part, value in self._optimisers[name].state.get(pair, {}).items():
                arrays[f"{name}:{part}"] = value.detach().cpu().numpy()
        return arrays

    def restore(self, state: Mapping[str, AnyArray]) -> None:
        """Continue from what `state` returned; raises KeyError for that of other cameras."""
        for name, pair in self._pairs.items():
            pair.data.copy_(torch.from_numpy(state[name]))
            parts = {part: state[f"{name}:{part}"] for part in ADAM_PARTS if f"{name}:{part}" in state}
            if parts:  # a camera without a step yet has none
                optimiser = self._optimisers[name]
                tensors = {part: torch.from_numpy(value.copy()) for part, value in parts.items()}
                optimiser.load_state_dict({**optimiser.state_dict(), "state": {0: tensors}})

    def record(self) -> dict[str, tuple[float, float]]:
        """Return (a, b) of every camera."""
        return {name: (float(pair[0].detach()), float(pair[1].detach())) for name, pair in self._pairs.items()}


def _robust(residual: Tensor, scale: float) -> Tensor:
    """Return the pseudo-Huber loss in units of the residual: quadratic below `scale`, linear above."""
    return torch.sqrt(residual.square() + scale * scale) - scale


class _Smoothness(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, tilt: Tensor, surfels: Surfels) -> Tensor:
        grad_z, grad_tilt = torch.zeros_like(z), torch.zeros_like(tilt)
        total, count = smooth_kernels.value_and_gradient(
            surfels.index.numpy(),
            surfels.row.numpy(),
            surfels.column.numpy(),
            z.detach().numpy(),
            tilt.detach().contiguous().numpy(),
            surfels.cell_m,
            HEIGHT_SCALE_M,
            grad_z.numpy(),
            grad_tilt.numpy(),
        )
        share = 1.0 / (max(count, 1) * surfels.cell_m)
        ctx.save_for_backward(grad_z * share, grad_tilt * share)
        return torch.tensor(total * share, dtype=z.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        grad_z, grad_tilt = ctx.saved_tensors
        return grad * grad_z, grad * grad_tilt, None


def smoothness(surfels: Surfels) -> Tensor:
    """Return the mean robust distance of neighbours from each other's planes, divided by the cell.

    It is zero on any plane, whatever its slope: z_j - z_i must equal the prediction of both tilts, and the tilts agree.
    """
    if surfels.z.device != CPU:
        return smoothness_in_torch(surfels)
    value: Tensor = _Smoothness.apply(surfels.z, surfels.tilt, surfels)  # type: ignore[no-untyped-call]
    return value


def smoothness_in_torch(surfels: Surfels) -> Tensor:
    """Return `smoothness` in torch operations, for other devices."""
    index, cell_m = surfels.index.long(), surfels.cell_m
    terms = []
    for axis, (near, far) in enumerate(((index[:, :-1], index[:, 1:]), (index[:-1], index[1:]))):
        both = (near >= 0) & (far >= 0)
        i, j = near[both], far[both]
        z, tilt = surfels.z, surfels.tilt
        step = z[j] - z[i] - cell_m * (tilt[i, axis] + tilt[j, axis]) / 2
        bend = cell_m * (tilt[j] - tilt[i])
        terms += [_robust(step, HEIGHT_SCALE_M), _robust(bend, HEIGHT_SCALE_M).sum(dim=1)]
    pairs = len(terms[0]) + len(terms[2])
    # Each pair counts twice, for its step and its bend, as in the kernel.
    return torch.cat(terms).sum() / (max(2 * pairs, 1) * cell_m)


def losses(
    rendering: Rendering, target: Target, surfels: Surfels, lidar_z: Tensor, exposure: Exposure, camera: str
) -> dict[str, Tensor]:
    """Return the live terms of one image, unweighted. A term without data is absent, never zero.

    Class loss: the cross-entropy of the composited probabilities (softmax is taken once, per surfel) against the two
    likeliest classes of each pixel, weighted by their confidence.
    """
    seen = rendering.alpha > ALPHA_SEEN
    values = {}
    colored = seen & target.ground
    if bool(colored.any()):
        mixed = rendering.features[:, :3] / rendering.alpha.clamp(min=ALPHA_SEEN)[:, None]
        error = (exposure.apply(camera, mixed) - target.rgb).abs().sum(dim=1)
        values["rgb"] = (error * colored).sum() / (3 * colored.sum())
        values["exposure"] = exposure.prior()
    if bool(seen.any()):
        # Only the two labelled channels of each pixel are looked up: nine logs a pixel would cost more than rendering.
        both = torch.stack([target.ids, target.runner_up], dim=1)
        share = torch.stack([target.confidence, target.runner_up_confidence], dim=1) * seen[:, None]
        likelihood = rendering.features.gather(1, both + 3) / rendering.alpha.clamp(min=ALPHA_SEEN)[:, None]
        values["class"] = -(share * torch.log(likelihood.clamp(min=1e-6))).sum() / share.sum().clamp(min=1e-6)
    values["smooth"] = smoothness(surfels)
    measured = torch.isfinite(lidar_z)
    if bool(measured.any()):
        values["lidar"] = _robust(surfels.z[measured] - lidar_z[measured], LIDAR_SCALE_M).mean()
    return values


class LossMeans:
    """Means of the loss terms over each epoch. A term is live when it had data and a weight."""

    def __init__(self, weights: dict[str, float]) -> None:
        self.weights = weights
        self._sums: list[dict[str, list[float]]] = []

    def epoch(self) -> None:
        """Start the next epoch."""
        self._sums.append({term: [] for term in TERMS})

    def state(self) -> list[dict[str, list[float]]]:
        """Return the values of all steps so far, as JSON holds them."""
        return self._sums

    def restore(self, state: list[dict[str, list[float]]]) -> None:
        """Continue from what `state` returned."""
        self._sums = state

    def add(self, values: dict[str, Tensor]) -> None:
        """Record one step; raises RoadscribeError naming every term when one is not finite."""
        numbers = {term: float(value.detach()) for term, value in values.items()}
        if not all(math.isfinite(number) for number in numbers.values()):
            raise RoadscribeError(
                f"the fit diverged: {numbers}", hint="Lower the weights of FitConfig and report the drive."
            )
        for term, number in numbers.items():
            self._sums[-1][term].append(number)

    def report(self) -> dict[str, dict[str, float | bool]]:
        """Return weight, liveness and the mean of the first and last epoch of every term."""

        def mean(values: list[float]) -> float:
            return round(sum(values) / len(values), 6) if values else 0.0

        first, last = self._sums[0], self._sums[-1]
        return {
            term: {
                "weight": self.weights[term],
                "live": bool(last[term]) and self.weights[term] > 0,
                "first_epoch": mean(first[term]),
                "last_epoch": mean(last[term]),
            }
            for term in TERMS
        }
