"""The stage snapshot: the shards of many drives become an immutable snapshot of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectorize.datasets.build import build
from workers.stages.trips import folders_of

if TYPE_CHECKING:
    from workers.stage import StageInput


def snapshot(given: StageInput) -> None:
    """Build the snapshot."""
    build(
        folders_of(given, "shards"),
        given.config,
        given.folder,
        given.tick,
        base=given.parents.get("base"),
        parents=given.parent_digests,
        config_digest=given.config_digest,
    )
