"""From evidence to confidence: how likely a vertex is right.

Confidence of a vertex = curve(evidence x trust(views)) x within(aside) x discount, all 0..1:
- trust(v) = v / (v + 4): one view counts 0.2, four views 0.5, forty 0.91.
- evidence of a divider or stop line: marking probability on the ridge. Of a boundary: drivable probability 0.3 m
  inside minus that 0.3 m outside, times the smoothness of an edge against BACKGROUND. Of a crossing: mean crosswalk
  probability of its paint; of one of two lines, mean probability of their paint times the share that is not worn.
- curve(x) = c x^n / (x^n + h^n) with h and n of the class (`CURVES`) and c = 0.98 (`CEILING`): the share of metres
  within 0.5 m of the truth that places of such evidence reached.
- within(s) = erf(RIGHT_M / (s sqrt(2))): the chance that paint lies within 0.5 m of its place, if heights are wrong by
  their standard deviation and this moves it by s across the line (`Evidence.aside_m`). LiDAR leaves it at 1.
- discount of a bridged stretch, on the mean of both its ends: exp(-gap / 60 m) where the gap was observed, half of it
  where it was not. In a row of dashes, only what is missing beyond the usual gap counts. Of an edge against BACKGROUND,
  which may hide a vehicle: 0.5. Of a divider nearly as wide and pale as a gutter: 0.5. Elsewhere 1.
The score of an element is the mean confidence along its length.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import erf

from recon.arrays import F64, Bool
from vectorize.road_map import ElementClass

# What evidence cannot see stays possible: a wrong height, a mistake that a net makes in every image.
CEILING = 0.98
RIGHT_M = 0.5  # from the truth: what confidence is the probability of
LEAST_ASIDE_M = 1e-3  # nothing is divided by less


class Curve(NamedTuple):
    """A rising curve from 0 to CEILING."""

    half: float  # evidence times trust at which it is half as high
    steepness: float

    def at(self, value: F64) -> F64:
        """Return the confidence of evidence times trust (N,)."""
        inside = np.clip(value, 0.0, 1.0) ** self.steepness
        result: F64 = CEILING * inside / (inside + self.half**self.steepness)
        return result


# Fitted by `make confidence` on eight drives of the demo city, five of them by day; hardly any divider was wrong there.
# docs/labels.md shows their calibration on other drives.
CURVES: dict[ElementClass, Curve] = {
    "divider": Curve(0.0361, 6.0),
    "ped_crossing": Curve(0.097, 2.0),
    "boundary": Curve(0.1874, 4.0),
    "stop_line": Curve(0.1874, 2.0),
    "hatched": Curve(0.097, 2.0),  # the city has too few to fit one: as that of crossings
}
# Not settings: the curves were fitted with these values. After a change, run `make confidence` and enter its curves.
FADE_M = 60.0  # gap over which the confidence in a bridge falls to 37 %
UNSEEN = 0.5  # of the confidence in a bridge that remains where no image saw the gap
STRIP = 0.5  # of the confidence in a divider that remains where it may be a strip of another surface (`lines.strip`)
BACKGROUND = 0.5  # of the confidence in an edge that remains against BACKGROUND: it may hide a vehicle


def curve(element_class: ElementClass, value: F64) -> F64:
    """Return the confidence of evidence times trust (N,); without evidence it is 0."""
    return CURVES[element_class].at(value)


def within(aside_m: F64) -> F64:
    """Return the chance (N,) that a line lies within RIGHT_M of its place whose standard deviation is `aside_m`."""
    result: F64 = erf(RIGHT_M / (np.sqrt(2.0) * np.maximum(aside_m, LEAST_ASIDE_M)))
    return result


def bridge_discount(gap_m: float, seen: Bool) -> F64:
    """Return the factor (N,) for the vertices of a bridged stretch."""
    result: F64 = np.exp(-gap_m / FADE_M) * np.where(seen, 1.0, UNSEEN)
    return result
