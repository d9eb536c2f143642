"""The stage pack: labels become shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.artifact import read
from recon.segment.frame_labels import FrameLabels
from vectorize.labels.label_set import LabelSet
from vectorize.labels.shard import pack as run_pack
from vectorize.labels.view_members import ids_of_labels
from workers.stages.poses import posed_drive

if TYPE_CHECKING:
    from workers.stage import StageInput


def pack(given: StageInput) -> None:
    """Pack the labels into shards."""
    run_pack(
        read(LabelSet, given.parents["crop"]),
        posed_drive(given),
        given.config,
        given.folder,
        given.tick,
        ids_of=ids_of_labels(FrameLabels.open(given.parents["segment"])) if given.config.with_ids else None,
        parents=given.parent_digests,
        config_digest=given.config_digest,
    )
