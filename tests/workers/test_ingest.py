"""The stage ingest reads the folder that was checked, or refuses."""

import pytest
import small_drive

from recon.artifact import read
from recon.drive import DriveLog
from recon.errors import PathRefused
from recon.progress import silent
from service.roots import resolve_below
from workers.jobs.drives import DriveRef
from workers.stage import StageInput
from workers.stages.ingest import ingest


def test_a_link_that_replaces_a_checked_folder_is_not_ingested(tmp_path):
    drive = small_drive.write(tmp_path / "root" / "drive")
    secret = small_drive.write(tmp_path / "secret")
    checked = resolve_below([tmp_path / "root"], str(drive))
    given = StageInput(
        config=DriveRef(drive=str(checked)),
        parents={},
        parent_digests={},
        config_digest="",
        trip=0,
        folder=tmp_path / "artifact",
        tick=silent,
    )
    ingest(given)
    assert read(DriveLog, given.folder).root == drive
    drive.rename(tmp_path / "root" / "aside")
    drive.symlink_to(secret)
    with pytest.raises(PathRefused):
        ingest(given)
