"""The true map of a street: the lines it was painted and built from, in world metres."""

from __future__ import annotations

from typing import Any

import numpy as np

from recon.demo_city.ground import Ground
from recon.demo_city.street import RUN_OUT_M, Street
from recon.geometry import F64

FORMAT = "roadscribe-true-map"
VERSION = 1
VERTEX_SPACING_M = 1.0
REACH_M = 60.0  # of the map before the first and beyond the last pose; cameras resolve no more


def true_map(street: Street, ground: Ground) -> dict[str, Any]:
    """Return the map as a JSON object: `elements`, each with class, style, closed and world vertices (N, 3).

    Dividers run on over a crossing, as lanes do; boundaries are the feet of the kerbs, where drivable ground ends.
    """
    section, crossing = street.section, street.crossing
    span = (float(street.line.s[0]) + RUN_OUT_M - REACH_M, float(street.line.s[-1]) - RUN_OUT_M + REACH_M)
    along = np.linspace(*span, max(2, round((span[1] - span[0]) / VERTEX_SPACING_M) + 1))
    elements = []
    for t, style in ((section.lane_m, "solid"), (0.0, "dashed"), (-section.lane_m, "solid")):
        elements.append(_element(street, ground, "divider", along, np.full(len(along), t), style=style))
    for t in (section.left_kerb_t_m, section.right_kerb_t_m):
        # A hair towards the road: the height is that of the gutter, not of the kerb's face.
        inside = np.full(len(along), t - 0.005 * np.sign(t))
        elements.append(_element(street, ground, "boundary", along, inside))
    zebra = [m for m in street.markings if m.road_class.name == "CROSSWALK"]
    low, high = min(m.t0_m for m in zebra), max(m.t1_m for m in zebra)
    corners_s = np.array([crossing.s0_m, crossing.s1_m, crossing.s1_m, crossing.s0_m])
    corners_t = np.array([low, low, high, high])
    elements.append(_element(street, ground, "ped_crossing", corners_s, corners_t, closed=True))
    for mark in street.markings:
        if mark.road_class.name == "STOP_LINE":
            middle = 0.5 * (mark.s0_m + mark.s1_m)
            ends = np.array([mark.t0_m, mark.t1_m])
            elements.append(_element(street, ground, "stop_line", np.full(2, middle), ends))
    return {"format": FORMAT, "version": VERSION, "elements": elements}


def _element(
    street: Street,
    ground: Ground,
    element_class: str,
    s: F64,
    t: F64,
    *,
    style: str = "unknown",
    closed: bool = False,
) -> dict[str, Any]:
    xy = street.line.at(s, t)
    vertices = [[round(x, 4), round(y, 4), round(ground.height(x, y), 4)] for x, y in xy.tolist()]
    return {"class": element_class, "style": style, "closed": closed, "vertices": vertices}
