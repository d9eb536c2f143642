"""Published files on their way out: every byte is compared with its sha256, and what is damaged is made again."""

from __future__ import annotations

import json
import threading
import time
import uuid
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import structlog

from recon.artifact import MANIFEST, digest_file, write_atomic
from recon.errors import ConfigInvalid, InputLost, storage_errors
from service.ledger.submissions import StoredFile, Submissions
from service.problems import Problem
from service.results import report_bytes
from service.storage.bucket import Bucket
from workers.spec import stored_spec
from workers.store import Store

VERIFIED_S = 600.0  # a disk that loses bits changes no time stamp, so the bytes are read again after this long
MOST_REMEMBERED = 10_000
LOCKS = 16

Version: TypeAlias = tuple[int, int, int, int]


class StoredFiles:
    """The files that the ledger names, verified before they are sent."""

    def __init__(self, home: Path, ledger: Submissions, publish_url: str = "") -> None:
        self._home, self._ledger, self._store = home, ledger, Store(home / "store")
        self._bucket = Bucket(publish_url) if publish_url else None
        self._verified: dict[Path, tuple[Version, float]] = {}  # by place: the file as it was, and when it was read
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    def sound(self, file: StoredFile) -> Path:
        """Return where a published file lies, its bytes verified.

        Raises a Problem: 503 while a damaged file is made again, 410 when it cannot be.
        """
        path = self._home / file.stored
        # A second request for a large file waits for the first one's reading instead of doubling it.
        with self._locks[hash(file.stored) % LOCKS]:
            if self._is_verified(file, path) or self._restored_report(file, path):
                return path
            if (fetched := self._fetched(file)) is not None:
                return fetched
            self._make_again(file, path)
        return path

    def set_aside_count(self) -> int:
        """Return how many damaged artifacts the store keeps."""
        folder = self._home / "store" / "damaged"
        return len(list(folder.iterdir())) if folder.is_dir() else 0

    def _is_verified(self, file: StoredFile, path: Path) -> bool:
        try:
            before = _version(path)
            version, read_at = self._verified.get(path, (None, 0.0))
            if version == before and time.monotonic() - read_at < VERIFIED_S:
                return True
            sound = digest_file(path) == file.sha256
        except OSError:
            return False
        if sound:
            if len(self._verified) >= MOST_REMEMBERED:
                self._verified.clear()
            self._verified[path] = before, time.monotonic()
        return sound

    def _restored_report(self, file: StoredFile, path: Path) -> bool:
        """Write a damaged report.json again, from the ledger; False for every other file."""
        job = self._ledger.get(file.job_id) if PurePosixPath(file.stored).parts[0] == "reports" else None
        if job is None or job["report"] is None:
            return False
        data, sha256 = report_bytes(job["report"])
        if sha256 != file.sha256:
            return False
        write_atomic(path, data)
        return True

    def _fetched(self, file: StoredFile) -> Path | None:
        """Return a copy of a file from the place of published files, None where there is none.

        The store keeps its damaged artifact until a job meets it: other files of it may still be sound.
        """
        target = self._home / "fetched" / file.sha256
        if self._bucket is None or self._is_verified(file, target):
            return target if self._bucket else None
        scratch = target.with_name(f"{file.sha256}.{uuid.uuid4().hex[:8]}.part")
        with storage_errors(str(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
        if not self._bucket.fetch(file.sha256, scratch):
            return None
        scratch.replace(target)
        return target

    def _make_again(self, file: StoredFile, path: Path) -> None:
        """Set the artifact of a damaged file aside, submit its job again, and raise the Problem that says so."""
        parts = PurePosixPath(file.stored).parts
        if parts[:2] != ("store", "objects"):
            raise _gone("the file is no longer in the store")
        stage, key = parts[2:4]
        reason = self._store.damage(stage, key, self._kind(stage, key))
        if not reason:
            if self._is_verified(file, path):
                return  # another process has made it again meanwhile
            raise _gone("a later run of the job left other bytes")
        aside = self._store.set_aside(stage, key)
        structlog.get_logger().error("artifact.damaged", job=file.job_id, file=file.path, stage=stage, key=key)
        job = self._ledger.get(file.job_id)
        try:
            assert job is not None  # files belong to jobs
            spec = stored_spec(json.dumps(job["spec"]))
            # Whoever moved the folder asks for a new one; so does whoever finds it gone, in case the first died.
            token = f"again-{aside.name if aside else f'{stage}-{key}'}"[:255]
            again = self._ledger.submit(spec, key=token, tenant=job["tenant"], restores=file.job_id)
        except (ConfigInvalid, InputLost) as error:
            raise _gone(f"the file is damaged and cannot be made again: {error.message}") from error
        if again.existed and again.job["state"] in ("succeeded", "failed", "cancelled"):
            raise _gone(f"the file was damaged; job {again.job['id']} was to make it again and {again.job['state']}")
        if not again.existed:
            self._ledger.note(again.job["id"], "artifact.damaged", {"stage": stage, "reason": reason})
        hint = f"Job {again.job['id']} makes it again. Ask again once it has succeeded."
        raise Problem(503, "ARTIFACT_DAMAGED", "the file is damaged in the store", hint=hint)

    def _kind(self, stage: str, key: str) -> str:
        try:
            return str(json.loads((self._store.object_path(stage, key) / MANIFEST).read_bytes())["kind"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""


def _gone(what: str) -> Problem:
    return Problem(410, "ARTIFACT_GONE", what, hint="Run the job again.")


def _version(path: Path) -> Version:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
