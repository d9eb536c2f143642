"""The stage pack: labels become shards."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from recon.align.alignment import Alignment
from recon.artifact import read
from recon.segment.frame_labels import FrameLabels
from vectorize.config import PackConfig
from vectorize.labels.label_set import LabelSet
from vectorize.labels.shard import pack as run_pack
from vectorize.labels.view_members import ids_of_labels
from workers.stages.poses import posed_drive

if TYPE_CHECKING:
    from workers.stage import StageInput


def pack(given: StageInput) -> None:
    """Pack the labels into shards."""
    config: PackConfig = given.config
    if "align" in given.parents and not config.local_frame:
        # The trips of a site lie in one world, so that its places must have one name, whichever trip saw them.
        site = read(Alignment, given.parents["align"])
        config = replace(config, local_frame=site.trips[0].name)
    run_pack(
        read(LabelSet, given.parents["crop"]),
        posed_drive(given),
        config,
        given.folder,
        given.tick,
        ids_of=ids_of_labels(FrameLabels.open(given.parents["segment"])) if config.with_ids else None,
        parents=given.parent_digests,
        config_digest=given.config_digest,
    )
