"""The stage fit: the labelled images of all trips become one road surface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.fit.fit import fit as run_fit
from workers.memory.fit_need import check_fit
from workers.memory.limit import memory_limit_mb
from workers.stages.folder import leave
from workers.stages.trips import trips_of

if TYPE_CHECKING:
    from workers.stage import StageInput


def fit(given: StageInput) -> None:
    """Fit one surface to all trips that have frames; a trip that was left out of its site has none."""
    trips = [trip for trip in trips_of(given) if trip.drive.frames]
    check_fit([trip.drive for trip in trips], given.config, memory_limit_mb())
    leave(run_fit(trips, given.config, given.tick, scratch=given.folder.parent), given)
