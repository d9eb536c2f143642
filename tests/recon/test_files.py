"""Files of a drive: opened once, from where the folder was when it was checked."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_drive

from recon.errors import DriveInvalid, PathRefused
from recon.files import kept_open, read_inside
from recon.formats.drive_folder import drive_folder
from recon.formats.read_drive import read_drive


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    return small_drive.write(tmp_path / "root" / "drive")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Write a drive elsewhere whose images differ."""
    folder = small_drive.write(tmp_path / "elsewhere")
    for image in folder.glob("front/*.png"):
        image.write_bytes((folder / "front" / "0.png").read_bytes())
    (folder / "drive.json").write_text((folder / "drive.json").read_text().replace('"small"', '"other"'))
    return folder


def swap(folder: Path, other: Path, *, link: bool) -> None:
    """Put another folder, or a link to it, into the place of a folder."""
    folder.rename(folder.with_name("aside"))
    if link:
        folder.symlink_to(other)
    else:
        other.rename(folder)


@pytest.mark.parametrize("link", [True, False])
def test_a_folder_swapped_during_reading_is_not_read(drive, other, monkeypatch, link) -> None:
    wanted = read_drive(drive)
    check = drive_folder.check_document

    def swap_and_check(document, problems):
        swap(drive, other, link=link)
        return check(document, problems)

    monkeypatch.setattr(drive_folder, "check_document", swap_and_check)
    found = read_drive(drive)
    assert [image.sha256 for _, _, image in found.images()] == [image.sha256 for _, _, image in wanted.images()]
    assert found.file_sha256 == wanted.file_sha256
    assert read_inside(drive, "front/1.png", where="") != (drive.with_name("aside") / "front" / "1.png").read_bytes()


@pytest.mark.parametrize("place", ["drive", "root"])
def test_a_link_that_came_after_the_check_is_refused(drive, other, tmp_path, place) -> None:
    if place == "drive":
        swap(drive, other, link=True)
    else:
        (tmp_path / "root").rename(tmp_path / "aside")
        other.rename(tmp_path / "drive")
        (tmp_path / "root").symlink_to(tmp_path)
    with pytest.raises(PathRefused, match="a link stands in the place"), kept_open(drive):
        pass


def test_a_folder_that_is_gone_is_named(drive) -> None:
    with pytest.raises(DriveInvalid, match="does not exist"), kept_open(drive / "missing" / "drive"):
        pass


def test_descriptors_are_closed(drive) -> None:
    opened = Path("/proc/self/fd")
    before = len(list(opened.iterdir()))
    for _ in range(3):
        read_drive(drive)
        with pytest.raises(DriveInvalid):
            read_inside(drive, "front", where="")
        with pytest.raises(DriveInvalid):
            read_inside(drive, "front/9.png", where="")
    assert len(list(opened.iterdir())) == before


def test_links_inside_a_drive_are_followed_also_while_it_is_kept_open(drive) -> None:
    (drive / "front" / "9.png").symlink_to(drive / "front" / "1.png")
    with kept_open(drive):
        assert read_inside(drive, "front/9.png", where="") == (drive / "front" / "1.png").read_bytes()


def test_a_file_larger_than_the_limit_is_not_read(drive) -> None:
    with (drive / "front" / "1.png").open("r+b") as stream:
        stream.truncate(1 << 40)  # a hole: it takes no space
    with pytest.raises(DriveInvalid, match="has 1048576 MB, at most 512 MB are read"):
        read_inside(drive, "front/1.png", where="")
