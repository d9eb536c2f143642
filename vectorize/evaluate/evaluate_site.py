"""The evaluation of a whole site: one RoadMap against the true one, each piece of ground once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from recon.arrays import F64, AnyArray, Bool
from recon.grid import Grid
from vectorize.evaluate.clip import Region, clip
from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.metrics.areas import crosses_itself
from vectorize.evaluate.metrics.calibration import calibration
from vectorize.evaluate.metrics.frechet import FrechetBatch
from vectorize.evaluate.metrics.pairing import ElementCache
from vectorize.evaluate.patch import Patch, corners_of
from vectorize.evaluate.scope import Coverage, Scope
from vectorize.road_map import RoadMap

MOST_CELLS = 60_000_000  # larger sites get coarser cells, so that 10 km fit into little memory


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SiteArea:
    """The ground that the labels of a site cover."""

    labelled: Region  # in any patch
    observed: Region  # known in any patch
    grid: Grid


def area_of(patches: Sequence[Patch]) -> SiteArea:
    """Return the union of the patches, and of their known cells, as rasters of the site; needs at least one patch."""
    corners = np.concatenate([corners_of(p.world_from_ego, p.size_m) for p in patches])
    cell = patches[0].size_m[0] / patches[0].region.known.shape[0]
    extent = corners.max(axis=0) - corners.min(axis=0)
    cell = max(cell, float(np.sqrt(extent.prod() / MOST_CELLS)))
    grid = Grid.around(corners, margin_m=cell, cell_m=cell)
    known, labelled = np.zeros(grid.shape, bool), np.zeros(grid.shape, bool)
    for patch in patches:
        px = grid.to_px(corners_of(patch.world_from_ego, patch.size_m))
        low, high = np.floor(px.min(axis=0)).astype(int), np.ceil(px.max(axis=0)).astype(int)
        window = (slice(low[1], high[1]), slice(low[0], high[0]))
        for raster, mask in ((known, patch.region.known), (labelled, np.ones_like(patch.region.known))):
            raster[window] |= _resampled(mask, patch, grid, low, high)
    return SiteArea(labelled=Region.of_grid(labelled, grid), observed=Region.of_grid(known, grid), grid=grid)


def _resampled(mask: Bool, patch: Patch, grid: Grid, low: AnyArray, high: AnyArray) -> Bool:
    """Return a patch's mask resampled to a window of the site: each cell gets the mask cell at its centre."""
    pose = patch.world_from_ego
    shift = pose[:2, 3] + pose[:2, 2] * patch.ground_z_ego_m
    ego_from_world = np.linalg.inv(pose[:2, :2])  # on the vehicle's ground plane
    world_from_cell: F64 = np.array(
        [
            [grid.cell_m, 0.0, grid.west_m + (low[0] + 0.5) * grid.cell_m],
            [0.0, -grid.cell_m, grid.north_m - (low[1] + 0.5) * grid.cell_m],
        ]
    )
    px_from_world = patch.region.px_from_m[:, :2] @ ego_from_world
    linear = px_from_world @ world_from_cell[:, :2]
    # cv2 counts pixels from their centres, regions from their corners.
    offset = px_from_world @ (world_from_cell[:, 2] - shift) + patch.region.px_from_m[:, 2] - 0.5
    size = ((high - low)[0].item(), (high - low)[1].item())
    resampled = cv2.warpAffine(
        mask.astype(np.uint8), np.c_[linear, offset], size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    )
    result: Bool = resampled > 0
    return result


def evaluate_site(
    predicted: RoadMap, true: RoadMap, area: SiteArea | None, config: EvaluateConfig | None = None
) -> dict[str, Any]:
    """Return the record of a site: `full_range` is the labelled area, `observed` the known part of it.

    Without an area both maps are compared as they are, and `observed` and `coverage` are None.
    """
    config = config or EvaluateConfig()
    batch, cache = FrechetBatch(config), ElementCache(config, None)
    full, observed, sizes = Scope(), Scope(), Coverage()
    ours, theirs = predicted.elements, true.elements
    notes = []
    crossed = sum(crosses_itself(e) for e in (*ours, *theirs))
    if crossed:
        notes.append(f"{crossed} polygons cross themselves: their area is that of their valid parts")
    if area is not None:
        ours, theirs = (clip(side, area.labelled, join_gap_m=config.join_gap_m) for side in (ours, theirs))
        found, true_seen = (clip(side, area.observed, join_gap_m=config.join_gap_m) for side in (ours, theirs))
        observed.add(found, true_seen, config, batch, cache)
        sizes.add(theirs, true_seen)
        if not area.observed.known.any():
            notes.append("the observed area is empty: nothing of the site was seen")
    full.add(ours, theirs, config, batch, cache)
    batch.solve()
    coverage = None
    if area is not None:
        share = area.observed.known.sum() / max(1, area.labelled.known.sum())
        coverage = {"area": round(float(share), 4), **sizes.record(observed, config)}
    return {
        "thresholds_m": list(config.thresholds_m),
        "coverage": coverage,
        "full_range": full.record(config),
        "observed": None if area is None else observed.record(config),
        # Against the whole truth: near the edge of the labelled area, clipped truth would make labels wrong.
        "calibration": calibration(ours, true.elements, config),
        "notes": notes,
    }
