"""The stage trace: the raster becomes a vector map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.artifact import read
from recon.bev.bev_map import BevBlocks
from vectorize.trace.trace_site import trace_site
from workers.stages.folder import leave
from workers.stages.trips import drives_of

if TYPE_CHECKING:
    from workers.stage import StageInput


def trace(given: StageInput) -> None:
    """Trace the raster into a vector map that names the trips of its vertices."""
    drives = drives_of(given)
    names = [drive.name for drive in drives if drive.frames]  # in the order of `fit`, which gave them their bits
    bev = read(BevBlocks, given.parents["bake"], mapped=True)
    leave(trace_site(bev, given.config, origin=drives[0].origin, trips=names, tick=given.tick), given)
