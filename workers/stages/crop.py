"""The stage crop: the map becomes one label per keyframe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.artifact import read
from recon.bev.bev_map import BevBlocks
from vectorize.labels.crop import crop as run_crop
from vectorize.road_map import RoadMap
from workers.stages.folder import leave
from workers.stages.poses import posed_drive

if TYPE_CHECKING:
    from workers.stage import StageInput


def crop(given: StageInput) -> None:
    """Crop one label per keyframe."""
    bev = read(BevBlocks, given.parents["bake"], mapped=True)
    road_map = read(RoadMap, given.parents["trace"])
    provenance = {"parents": given.parent_digests, "config": given.config_digest}
    leave(run_crop(posed_drive(given), bev, road_map, given.config, given.tick, provenance=provenance), given)
