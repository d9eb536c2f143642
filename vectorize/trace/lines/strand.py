"""A strand: a traced piece of paint, evenly sampled, before it becomes a map element."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.arrays import F64, Bool
from vectorize.polyline import arc_length

STEP_M = 0.1  # spacing of strand vertices
LEAST_WEIGHT = 0.01  # of a vertex in a fit, so that bridged stretches count a little
LEAST_FIT = 4  # vertices of a parabola's fit: one more than it has coefficients


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strand:
    """A painted line in world metres with what is known along it."""

    xy_m: F64  # (N, 2), about STEP_M apart
    paint: F64  # (N,) marking probability on the ridge; on bridged stretches the value of the raster
    bridged: Bool  # (N,) whether the stretch was inferred between two painted ones
    faint: Bool  # (N,) whether the ridge was too weak there to be paint by itself
    width_m: float  # full width at half maximum, median over the painted stretch
    gap_m: float = 0.0  # between the dashes, where it is a row of them
    dots: int = 0  # of which it was joined, where it is a row of dots

    @property
    def length_m(self) -> float:
        """Return the length along the strand."""
        return float(arc_length(self.xy_m)[-1])

    def reversed(self) -> Strand:
        """Return the same strand walked from its other end."""
        return self._take(np.s_[::-1])

    def part(self, start: int, stop: int) -> Strand:
        """Return vertices start..stop (exclusive)."""
        return self._take(np.s_[start:stop])

    def _take(self, span: slice) -> Strand:
        arrays = {name: getattr(self, name)[span] for name in ("xy_m", "paint", "bridged", "faint")}
        return Strand(**arrays, width_m=self.width_m, gap_m=self.gap_m, dots=self.dots)

    def end_direction(self, base_m: float) -> F64:
        """Return the unit direction in which the strand leaves its last vertex, fitted over its last `base_m`."""
        count = max(2, min(len(self.xy_m), round(base_m / STEP_M) + 1))
        points, weight = self.xy_m[-count:], self.paint[-count:] + LEAST_WEIGHT
        centred = points - np.average(points, axis=0, weights=weight)
        _, _, axes = np.linalg.svd(centred * np.sqrt(weight)[:, None], full_matrices=False)
        direction: F64 = axes[0] if axes[0] @ (points[-1] - points[0]) >= 0 else -axes[0]
        return direction

    def end_tangent(self, base_m: float) -> F64:
        """Return the direction at the very last vertex, from a parabola fitted over the last `base_m`."""
        axis = self.end_direction(base_m)
        count = max(LEAST_FIT, min(len(self.xy_m), round(base_m / STEP_M) + 1))
        offset = self.xy_m[-count:] - self.xy_m[-1]
        along, across = offset @ axis, offset @ np.array([-axis[1], axis[0]])
        weight = np.sqrt(self.paint[-count:] + LEAST_WEIGHT)
        slope = np.linalg.lstsq(np.c_[along**2, along, np.ones(count)] * weight[:, None], across * weight)[0][1]
        direction = axis + slope * np.array([-axis[1], axis[0]])
        result: F64 = direction / np.hypot(*direction)
        return result
