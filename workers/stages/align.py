"""The stage align: trips over one place are brought together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.align.align import align as run_align
from recon.errors import ConfigInvalid
from workers.stages.folder import leave
from workers.stages.trips import trips_of

if TYPE_CHECKING:
    from workers.stage import StageInput


def align(given: StageInput) -> None:
    """Bring the trips together, and find out which do not fit; raises ConfigInvalid for a drive named twice."""
    first: dict[str, str] = {}
    for role, digest in given.parent_digests.items():
        if role.startswith("ingest") and first.setdefault(digest, role) != role:
            numbers = " and ".join(name.split(" ")[1] for name in (first[digest], role))
            hint = "Name every drive once: a trip always fits itself."
            raise ConfigInvalid(f"drives {numbers} are the same", where="drives", hint=hint)
    leave(run_align(trips_of(given), given.config, given.tick), given)
