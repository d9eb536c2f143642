"""The folder of a cluster's session: its own, gone with its process, refused with a reason."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from recon.errors import DiskFull, StorageError
from workers.cluster.session_folder import LONGEST_PATH, SessionFolder


@pytest.fixture
def short_path(tmp_path: Path) -> Iterator[Path]:
    """A link to a folder of this test: sockets have short paths."""
    link = Path(f"/tmp/rs-{os.getpid()}")
    link.symlink_to(tmp_path)
    yield link
    link.unlink()


@pytest.fixture
def full_disk(short_path: Path) -> Iterator[Path]:
    folder = short_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_two_clusters_never_share_a_folder(short_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(short_path))
    one, two = SessionFolder(), SessionFolder()
    assert one.path != two.path
    assert one.path.stat().st_mode & 0o777 == 0o700
    one.remove()
    assert not one.path.exists()
    assert two.path.is_dir()
    two.remove()


def test_what_a_killed_process_left_is_removed(short_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(short_path))
    code = "import os; from workers.cluster.session_folder import SessionFolder as S; print(S().path, flush=True)"
    code += "; os.kill(os.getpid(), 9)"
    killed = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    left = Path(killed.stdout.strip())
    assert left.is_dir()
    new = SessionFolder()
    assert not left.exists()
    new.remove()


def test_a_full_disk_is_named_at_once(full_disk, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(full_disk))
    with pytest.raises(DiskFull, match=r"1 MB are free, .* \[/tmp/rs-\d+/full\] .*RAY_TMPDIR"):
        SessionFolder()


@pytest.mark.parametrize(("name", "reason"), [("file", "Not a directory"), ("x" * LONGEST_PATH, "path is too long")])
def test_a_folder_that_cannot_be_is_named_at_once(short_path, monkeypatch, name, reason):
    (short_path / "file").touch()
    monkeypatch.setenv("RAY_TMPDIR", str(short_path / name / "below"))
    with pytest.raises(StorageError, match=rf"{reason}.*RAY_TMPDIR"):
        SessionFolder()
