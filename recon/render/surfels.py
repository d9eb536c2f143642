"""The interface of all renderers: the surfel model of the road and the rays of one image.

Model (after 2D Gaussian splatting, with the surface written as a height field). Surfel i has its centre
(x_i, y_i, z_i) on a regular xy grid and the plane z = z_i + tilt_x (x - x_i) + tilt_y (y - y_i). A ray hits that
plane at (x, y); with u = (x - x_i) / s_x and v = (y - y_i) / s_y its opacity there is

    alpha_i = min(ALPHA_MAX, o_i exp(-(u^2 + v^2) / 2))   where u^2 + v^2 <= Q_MAX, else 0.

Because the intersection is exact, the footprint is perspective-correct at grazing angles. Surfels are composited front
to back: sum_i w_i f_i with w_i = alpha_i prod_{j<i} (1 - alpha_j), in the order of their centres along the camera's
horizontal viewing direction, which for a road is the order of depth; the order of exact ties is undefined.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

ALPHA_MAX = 0.99
Q_MAX = 9.0  # three standard deviations; beyond, a surfel has no opacity
TRANSMITTANCE_MIN = 1e-4  # below it, what lies behind is invisible
REACH_CELLS = 2  # neighbourhood of the hit cell that is gathered, each way
SIGMA_MAX_CELLS = (REACH_CELLS + 0.5) / Q_MAX**0.5  # wider surfels would reach beyond that neighbourhood


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surfels:
    """N surfels in a window of the site; x east, y north, metres from the window's south-west corner."""

    index: Tensor  # (rows, columns) int32: surfel of each cell or -1; row 0 is the southernmost
    row: Tensor  # (N,) int32
    column: Tensor  # (N,) int32
    cell_m: float
    z: Tensor  # (N,)
    tilt: Tensor  # (N, 2)
    log_scale: Tensor  # (N, 2) natural log of metres
    opacity: Tensor  # (N,) logit
    features: Tensor  # (N, C) composited channels
    geometry_channels: int  # the leading channels whose gradient reaches z, tilt, log_scale and opacity


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Raster:
    """The pinhole image whose pixels the rays are, for a renderer that works on whole images."""

    width_px: int
    height_px: int
    pixel_from_direction: Tensor  # (3, 3) K R: the homogeneous pixel at which a window direction is imaged
    pixel: Tensor  # (P,) int64 row * width_px + column of each ray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rays:
    """P rays of one pinhole image in window coordinates (that of the Surfels)."""

    origin: Tensor  # (3,)
    direction: Tensor  # (P, 3), any length, z < 0 for rays that hit the ground
    forward: Tensor  # (2,) horizontal viewing direction of the camera: the order of compositing
    raster: Raster | None = None  # gsplat needs it, the others do without


class Rendering(NamedTuple):
    """The composited values of P rays."""

    features: Tensor  # (P, C) composited, not divided by alpha
    alpha: Tensor  # (P,) 1 - transmittance
    depth: Tensor  # (P,) composited ray parameter, not divided by alpha; carries no gradient


class Renderer(Protocol):
    """Composites surfels along rays; differentiable in all float fields of Surfels."""

    def __call__(self, surfels: Surfels, rays: Rays) -> Rendering:
        """Return the composited values of each ray; rays that hit no surfel have zeros."""


_Record = TypeVar("_Record")


def moved(record: _Record, device: torch.device) -> _Record:
    """Return a dataclass of tensors (and of such dataclasses) with every tensor on the device."""

    def on_device(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(device)
        if not is_dataclass(value) or isinstance(value, type):
            return value
        return replace(value, **{field.name: on_device(getattr(value, field.name)) for field in fields(value)})

    result: _Record = on_device(record)
    return result


def gather_order(forward: Tensor) -> Tensor:
    """Return (25, 2) int32 row, column offsets of the neighbourhood, front to back along `forward`."""
    span = torch.arange(-REACH_CELLS, REACH_CELLS + 1)
    rows, columns = torch.meshgrid(span, span, indexing="ij")
    offsets = torch.stack([rows.reshape(-1), columns.reshape(-1)], dim=1)
    depth = offsets[:, 1].double() * float(forward[0]) + offsets[:, 0].double() * float(forward[1])
    return offsets[torch.argsort(depth, stable=True)].to(torch.int32).contiguous()
