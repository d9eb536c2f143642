"""The terms of the surface fit, each a scalar with a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recon.render.surfels import Rendering, Surfels

TERMS = ("rgb", "class", "smooth", "lidar", "exposure")

ALPHA_SEEN = 0.5  # pixels whose ray meets less surface than this look past the edge of the known
HEIGHT_SCALE_M = 0.01  # beyond, a height residual counts linearly: kerbs stay sharp
LIDAR_SCALE_M = 0.03
EXPOSURE_RATE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """What P pixels of one image show."""

    rgb: Tensor  # (P, 3) 0..1
    ids: Tensor  # (P,) RoadClass, never UNKNOWN
    confidence: Tensor  # (P,) 0..1
    runner_up: Tensor  # (P,) RoadClass
    runner_up_confidence: Tensor  # (P,) 0..1, 0 where there is none
    ground: Tensor  # (P,) bool: the colour belongs to the ground


class Exposure:
    """Affine exposure of each camera: observed = exp(a) rgb + b."""

    def __init__(self, cameras: Sequence[str]) -> None:
        self._pairs = {name: torch.zeros(2, requires_grad=True) for name in cameras}
        # One optimiser a camera: a step moves only the camera whose image it rendered.
        self._optimisers = {name: torch.optim.Adam([pair], lr=EXPOSURE_RATE) for name, pair in self._pairs.items()}

    def apply(self, camera: str, rgb: Tensor) -> Tensor:
        """Return colours (P, 3) as this camera records them."""
        pair = self._pairs[camera]
        return torch.exp(pair[0]) * rgb + pair[1]

    def prior(self) -> Tensor:
        """Return the mean square of all pairs: overall brightness belongs to the surface."""
        return torch.stack(list(self._pairs.values())).square().mean()

    def step(self) -> None:
        """Move the cameras that felt a gradient."""
        for name, optimiser in self._optimisers.items():
            if self._pairs[name].grad is not None:
                optimiser.step()
                optimiser.zero_grad()

    def record(self) -> dict[str, tuple[float, float]]:
        """Return (a, b) of every camera."""
        return {name: (float(pair[0].detach()), float(pair[1].detach())) for name, pair in self._pairs.items()}


def _robust(residual: Tensor, scale: float) -> Tensor:
    """Return the pseudo-Huber loss in units of the residual: quadratic below `scale`, linear above."""
    return torch.sqrt(residual.square() + scale * scale) - scale


def smoothness(surfels: Surfels) -> Tensor:
    """Return the mean robust distance of neighbours from each other's planes, divided by the cell.

    It is zero on any plane, whatever its slope: z_j - z_i must be what the two tilts say, and tilts must agree.
    """
    cell = surfels.cell_m
    padded = torch.nn.functional.pad(surfels.index, (0, 1, 0, 1), value=-1)
    row, column = surfels.row.long(), surfels.column.long()
    terms = []
    for axis, (down, right) in enumerate(((0, 1), (1, 0))):
        neighbour = padded[row + down, column + right].long()
        i = torch.nonzero(neighbour >= 0).squeeze(1)
        j = neighbour[i]
        tilt_i, tilt_j = surfels.tilt[i, axis], surfels.tilt[j, axis]
        step = surfels.z[j] - surfels.z[i] - cell * (tilt_i + tilt_j) / 2
        bend = cell * (surfels.tilt[j] - surfels.tilt[i])
        terms += [_robust(step, HEIGHT_SCALE_M), _robust(bend, HEIGHT_SCALE_M).sum(dim=1)]
    return torch.cat(terms).mean() / cell if sum(len(t) for t in terms) else surfels.z.sum() * 0.0


def losses(
    rendering: Rendering, target: Target, surfels: Surfels, lidar_z: Tensor, exposure: Exposure, camera: str
) -> dict[str, Tensor]:
    """Return the live terms of one image, unweighted. A term without data is absent, never zero.

    Class loss: the cross-entropy of the composited probabilities (softmax is taken once, per surfel) against the two
    likeliest classes of each pixel, weighted by their confidence.
    """
    seen = rendering.alpha > ALPHA_SEEN
    mixed = rendering.features / rendering.alpha.clamp(min=ALPHA_SEEN)[:, None]
    values = {}
    colored = seen & target.ground
    if bool(colored.any()):
        observed = exposure.apply(camera, mixed[colored, :3])
        values["rgb"] = (observed - target.rgb[colored]).abs().mean()
        values["exposure"] = exposure.prior()
    if bool(seen.any()):
        logs = torch.log(mixed[seen, 3:].clamp(min=1e-6))
        total = torch.zeros(())
        for ids, share in ((target.ids, target.confidence), (target.runner_up, target.runner_up_confidence)):
            total = total - (share[seen] * logs.gather(1, ids[seen][:, None]).squeeze(1)).sum()
        values["class"] = total / (target.confidence + target.runner_up_confidence)[seen].sum().clamp(min=1e-6)
    values["smooth"] = smoothness(surfels)
    measured = torch.isfinite(lidar_z)
    if bool(measured.any()):
        values["lidar"] = _robust(surfels.z[measured] - lidar_z[measured], LIDAR_SCALE_M).mean()
    return values
