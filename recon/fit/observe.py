"""The evidence of all images for each cell before fitting: observation counts, a first colour and class shares.

A cell is in the surface only if some valid pixel saw it. Counts are explicit, never inferred from ties of scores.
Images count as views by how much they differ: those taken from nearly one place share one count and one vote.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.arrays import F32, F64, U8, U16, U64
from recon.classes import CLASS_COUNT
from recon.fit import observe_kernels
from recon.fit.observe_kernels import PLACES
from recon.progress import Tick
from recon.segment.frame_labels import Labels
from recon.surface.cells import Cells
from recon.views.views import Views


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observations:
    """Evidence per cell (N of them, in the order of Cells)."""

    views: U16  # (N,) looks from places that differ
    trips: U64  # (N,) bit t: some image of trip t saw the cell
    nearest_view_m: F32  # (N,), infinity where unseen
    rgb: F32  # (N, 3) mean colour 0..1
    class_share: F32  # (N, CLASS_COUNT) share of the votes, sums to 1 where seen
    lean: F32  # (N, 2) metres east and north that its looks shift, on average, for a metre of a wrong height


def planes(labels: Labels) -> tuple[U8, ...]:
    """Return the four (H, W) planes of labels in the order that the kernel takes."""
    return labels.ids, labels.confidence, labels.runner_up, labels.runner_up_confidence


def observe(views: Views, cells: Cells, z_m: F64, *, max_distance_m: float, tick: Tick) -> Observations:
    """Project every cell centre (heights `z_m` (N,)) into every image and accumulate the labels and colours there."""
    count = len(cells)
    centres = cells.centres()
    seen, before = np.zeros(count, dtype=np.uint16), np.zeros(count, dtype=np.uint16)
    trips = np.zeros(count, dtype=np.uint64)
    trip = 0
    nearest = np.full(count, np.inf, dtype=np.float32)
    weight = np.zeros(count, dtype=np.float64)
    color = np.zeros((count, 3), dtype=np.float64)
    votes = np.zeros((count, CLASS_COUNT), dtype=np.float64)
    lean = np.zeros((count, 2), dtype=np.float64)
    places = np.full((count, PLACES, 3), np.inf, dtype=np.float32)
    for done, (view, share) in enumerate(zip(views, views.shares(), strict=True)):
        tick(done, len(views), "images")
        if view.trip != trip:  # views come trip by trip
            trips[seen > before] |= np.uint64(1 << trip)
            before[:], trip = seen, view.trip
            places[:] = np.inf  # another day is another look
        reach_m = view.reach_m(max_distance_m)
        ids = cells.window(*view.footprint(reach_m)).ids
        observe_kernels.accumulate(
            ids,
            centres[ids, 0],
            centres[ids, 1],
            z_m[ids],
            view.camera_from_world,
            view.k,
            *planes(view.labels),
            view.rgb,
            reach_m,
            view.world_from_camera[:3, 3],
            share,
            places,
            seen,
            nearest,
            weight,
            color,
            votes,
            lean,
        )
    trips[seen > before] |= np.uint64(1 << trip)
    scale = np.maximum(weight, 1e-12)[:, None]
    return Observations(
        views=seen,
        trips=trips,
        nearest_view_m=nearest,
        rgb=(color / scale).astype(np.float32),
        class_share=(votes / scale).astype(np.float32),
        lean=(lean / scale).astype(np.float32),
    )
