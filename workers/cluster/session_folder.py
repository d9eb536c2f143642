"""The folder of a Ray cluster of our own: sockets, logs and spilled objects, apart from those of any other cluster."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from recon.errors import DiskFull, StorageError, storage_errors

MIN_FREE_BYTES = 64 << 20  # logs of a day; with less, Ray starts and then fails in ways that name no reason
LONGEST_PATH = 40  # a socket's path has at most 107 bytes, and Ray appends 67 to the folder's
WAY_OUT = "Free some space there, or let RAY_TMPDIR name another folder on a local disk."


class SessionFolder:
    """A new folder that exists as long as this process: the next one removes what a killed process left behind."""

    def __init__(self) -> None:
        """Create it below RAY_TMPDIR or the system's folder for temporary files; raises StorageError, DiskFull."""
        parent = Path(os.environ.get("RAY_TMPDIR") or _system_folder())
        self._prefix = f"roadscribe-{os.getuid()}-"
        if len(os.fsencode(parent)) > LONGEST_PATH:
            hint = f"Let RAY_TMPDIR name a folder whose path has at most {LONGEST_PATH} bytes."
            raise StorageError("the path is too long for the sockets of Ray", where=str(parent), hint=hint)
        with _reasons(parent):
            parent.mkdir(parents=True, exist_ok=True)
            self._sweep(parent)
            free = shutil.disk_usage(parent).free
            if free < MIN_FREE_BYTES:
                need = f"{free >> 20} MB are free, Ray needs {MIN_FREE_BYTES >> 20} MB for its session"
                raise DiskFull(need, where=str(parent), hint=WAY_OUT)
            self.path, self._lock = self._create(parent)

    def _create(self, parent: Path) -> tuple[Path, int]:
        while True:
            path = Path(tempfile.mkdtemp(prefix=self._prefix, dir=parent))
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.is_dir():  # else another process has swept it before it was locked
                    return path, lock
            os.close(lock)

    def _sweep(self, parent: Path) -> None:
        """Remove folders whose process died: the kernel dropped its lock."""
        for path in parent.glob(f"{self._prefix}*"):
            with contextlib.suppress(OSError):
                lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
                finally:
                    os.close(lock)

    def remove(self) -> None:
        """Remove it with all that Ray wrote."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _system_folder() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:  # none of the usual ones takes a file
        raise StorageError("no folder for temporary files can be written", where="/tmp", hint=WAY_OUT) from error


@contextlib.contextmanager
def _reasons(folder: Path) -> Iterator[None]:
    """Let errors of the disk name Ray's folder and the way out."""
    try:
        with storage_errors(str(folder)):
            yield
    except (StorageError, DiskFull) as error:
        error.hint = WAY_OUT
        raise
