"""The artifact store on a folder: finished results by stage and key, work folders that survive a killed attempt.

identity                    by which a machine sees whether it shares the folder with another
objects/<stage>/<key>/      a sealed artifact; there completely or not at all
work/<stage>-<key>/<token>/ what an attempt has so far, in a folder of its own: nobody else writes there
damaged/<stage>-<key>-<ns>/ a result whose bytes changed; kept for a while, since a disk that loses bits is worth a look
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from recon.artifact import MANIFEST, Manifest, read_manifest, write_atomic, write_first
from recon.errors import ArtifactInvalid, Cancelled, DiskFull, storage_errors

NEWEST_SCHEMA = 1_000_000  # the store moves artifacts of any schema; only their readers check it
LATEST = "latest"  # names the attempt that last worked on a result


@dataclass(frozen=True, slots=True)
class Store:
    """Paths and moves of one store; several processes may use it at once."""

    home: Path
    min_free_bytes: int = 256 << 20

    def object_path(self, stage: str, key: str) -> Path:
        """Return where the result of a stage lies or will lie."""
        return self.home / "objects" / stage / key

    def work_path(self, stage: str, key: str) -> Path:
        """Return the folder of all attempts at a result."""
        return self.home / "work" / f"{stage}-{key}"

    def begin_work(self, stage: str, key: str, token: str, *, resumes: bool) -> Path:
        """Return the folder of one attempt; with `resumes` it holds what the latest one before had.

        The caller alone has the right to work on the result. A worker that lost it may still live, frozen or cut off,
        and wake up: it keeps files open, so its folder is copied and not renamed.
        """
        home = self.work_path(stage, key)
        folder, note = home / token, home / LATEST
        with storage_errors(str(folder)):
            latest = note.read_text() if note.is_file() else ""
            if not resumes or latest != token:
                shutil.rmtree(folder, ignore_errors=True)
            if resumes and latest and latest != token:
                _copy(home / latest, folder)
            folder.mkdir(parents=True, exist_ok=True)
            write_atomic(note, token.encode())
            for other in home.iterdir():
                if other.is_dir() and other != folder:
                    shutil.rmtree(other, ignore_errors=True)
        return folder

    def end_work(self, stage: str, key: str, token: str) -> None:
        """Remove what an attempt has left, and that of others unless a later one has begun."""
        home = self.work_path(stage, key)
        with suppress(OSError):
            shutil.rmtree(home if (home / LATEST).read_text() == token else home / token)

    def identity(self) -> str:
        """Return a random name of this store, the same on every machine that sees its folder."""
        return write_first(self.home / "identity", f"identity-{secrets.token_hex(16)}".encode()).decode()

    def find(
        self, stage: str, key: str, kind: str, damaged: Callable[[str], None] = lambda reason: None
    ) -> Manifest | None:
        """Return the manifest of a finished result, or None.

        Every file must be there in its full number; bytes are verified by whoever reads or publishes them. A damaged
        result is set aside and `damaged` is told why, so that the stage runs again instead of failing for ever.
        """
        folder = self.object_path(stage, key)
        if not (folder / MANIFEST).is_file():
            return None
        try:
            manifest = read_manifest(folder, kind=kind, schema=NEWEST_SCHEMA, verify=False)
            missing = [name for name in manifest.files if not (folder / name).is_file()]
            if not missing:
                with suppress(OSError):
                    os.utime(folder)  # a collection removes what no job has used for long
                return manifest
            reason = f"a file of the artifact is missing: {missing[0]}"
        except ArtifactInvalid as error:
            reason = _reason(error)
        if self.set_aside(stage, key) is not None:
            damaged(reason)
        return None

    def damage(self, stage: str, key: str, kind: str) -> str:
        """Return what is wrong with the bytes of a result, "" if nothing is. Reads all of them."""
        try:
            read_manifest(self.object_path(stage, key), kind=kind, schema=NEWEST_SCHEMA)
        except ArtifactInvalid as error:
            return _reason(error)
        except OSError as error:  # a bad sector
            return f"a file cannot be read: {error.strerror or error}"
        return ""

    def set_aside(self, stage: str, key: str) -> Path | None:
        """Move a damaged result to where people can look at it; None when another process has done so."""
        folder = self.object_path(stage, key)
        aside = self.home / "damaged" / f"{stage}-{key}-{time.time_ns()}"
        with storage_errors(str(folder)):
            aside.parent.mkdir(parents=True, exist_ok=True)
            try:
                folder.rename(aside)
            except FileNotFoundError:
                return None
            os.utime(aside)  # it is kept from now on, not from when it was made
        return aside

    def publish(self, work: Path, stage: str, key: str, kind: str) -> str:
        """Move a sealed folder into place in one step; an equal and sound result that came first is kept.

        Returns what was wrong with a damaged one that was set aside for it, "" without one.
        """
        target, reason = self.object_path(stage, key), ""
        with storage_errors(str(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            _flush(work)
            if target.exists() and (reason := self.damage(stage, key, kind)):
                self.set_aside(stage, key)
            try:
                work.rename(target)
            except OSError:
                if not (target / MANIFEST).is_file():
                    raise
                shutil.rmtree(work, ignore_errors=True)
        return reason

    def check_free(self) -> None:
        """Raise DiskFull when less than `min_free_bytes` is left: better before the work than in its middle."""
        with storage_errors(str(self.home)):
            self.home.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.home).free
        if free < self.min_free_bytes:
            need = f"{free >> 20} MB are free, {self.min_free_bytes >> 20} MB are needed to start"
            raise DiskFull(need, where=str(self.home), hint="Free some space and retry; finished stages are kept.")

    @contextmanager
    def locked(
        self, stage: str, key: str, waiting: Callable[[], None], should_stop: Callable[[], bool]
    ) -> Iterator[None]:
        """Hold the lock of a result; call `waiting` once if another process of this machine has it.

        The kernel drops the lock with its process, so a killed one never blocks the next. Raises Cancelled.
        """
        path = self.home / "work" / f"{stage}-{key}.lock"
        with storage_errors(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            told = False
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not told:
                        told = True
                        waiting()
                    if should_stop():
                        raise Cancelled from None
                    time.sleep(0.1)
            yield
        finally:
            os.close(handle)


def _reason(error: ArtifactInvalid) -> str:
    """Return the fault and the file's name; the paths of the service are not for those who read a job's events."""
    return f"{error.message}: {Path(error.where).name}"


def _copy(source: Path, target: Path) -> None:
    """Copy a folder in which somebody may still work: what vanishes meanwhile is left out."""

    def copy(file: str, to: str) -> None:
        with suppress(FileNotFoundError):
            shutil.copyfile(file, to)

    if source.is_dir():
        shutil.copytree(source, target, copy_function=copy, ignore=shutil.ignore_patterns(".*.part"))


def _flush(folder: Path) -> None:
    """Force a folder's files to the disk: after the rename a power cut must not leave empty files."""
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
