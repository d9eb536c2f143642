"""The stage bake: the road surface becomes a raster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.artifact import read
from recon.bev.bake import bake_blocks
from recon.surface.road_surface import RoadSurface
from workers.stages.folder import leave

if TYPE_CHECKING:
    from workers.stage import StageInput


def bake(given: StageInput) -> None:
    """Turn the surface into a raster."""
    surface = read(RoadSurface, given.parents["fit"], mapped=True)
    leave(bake_blocks(surface, given.config, given.tick, scratch=given.folder.parent), given)
