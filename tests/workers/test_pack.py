"""The stage pack: whose local metres the places of a drive count in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_shards

from recon.align.alignment import AlignedTrip, Alignment
from recon.artifact import Artifact, write
from recon.geo_origin import GeoOrigin
from vectorize.config import PackConfig
from vectorize.labels.shard import read_shard
from workers.jobs.aggregate import AggregateJob
from workers.jobs.drives import TripRef
from workers.stage import StageInput
from workers.stages.pack import pack


def frames(folder: Path, config: PackConfig, *, site: bool, origin: GeoOrigin | None = None) -> set[str]:
    """Return the frames of the places of a drive "b", which is the second of a site or stands alone."""
    drive = small_shards.drive(folder / "files", name="b", origin=origin)
    trips = tuple(
        AlignedTrip(name=name, correction=np.zeros((4, 4)), left_out="", shared=1.0, residual_m=0.0) for name in "ab"
    )
    parents: dict[str, Artifact] = {"ingest": drive, "crop": small_shards.labels(drive)}
    if site:
        parents["align"] = Alignment(trips=trips, origin=origin)
    for role, artifact in parents.items():
        write(artifact, folder / role)
    given = StageInput(
        config=config,
        parents={role: folder / role for role in parents},
        parent_digests={},
        config_digest="",
        trip=1 if site else 0,
        folder=folder / "pack",
        tick=lambda *_: None,
    )
    pack(given)
    return {row["place"].partition(":")[0] for row in read_shard(folder / "pack").index()}


@pytest.mark.parametrize(
    ("site", "name", "frame"), [(False, "", "b"), (True, "", "a"), (False, "yard", "yard"), (True, "yard", "yard")]
)
def test_trips_of_a_site_share_the_metres_of_its_first(tmp_path: Path, site: bool, name: str, frame: str) -> None:
    assert frames(tmp_path, PackConfig(local_frame=name), site=site) == {frame}


def test_drives_with_an_origin_stay_on_the_earth(tmp_path: Path) -> None:
    assert frames(tmp_path, PackConfig(), site=True, origin=small_shards.at_degrees(8.0)) == {"wgs84"}


def test_a_pack_of_a_site_knows_its_alignment() -> None:
    plan = AggregateJob(drives=(TripRef(drive="a"), TripRef(drive="b"))).plan()
    assert all(stage.parents["align"] == "align" for stage in plan if stage.role == "pack")
