"""Removes what nothing needs any more from the store, in two phases.

A result that no published file belongs to, and that no job has used for a while, is condemned: a mark with its date is
written. A later collection deletes it if the mark is old enough and the result is still unused. So a mistake, such as
the ledger of another service, costs nothing until somebody has had time to notice.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, delete, func, select

from recon.errors import ConfigInvalid, storage_errors
from service.ledger import tables
from service.ledger.database import reading, writing
from service.storage.bucket import MARKS, OBJECTS, Bucket, Entry, mark_path

DAY_S = 86400.0
LEAST_DAYS = 1.0  # for which is kept what is deleted in one phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """How long things are kept, in days."""

    unused: float = 14.0  # a result that no job has used, before it is condemned
    condemned: float = 7.0  # a condemned result, before it is deleted
    damaged: float = 30.0  # what was set aside
    published: float = 0.0  # files of a job after its end; 0 = for ever. Those of snapshots stay


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a collection does or would do."""

    action: str  # "release", "condemn", "delete"
    what: str
    size_bytes: int


class Collector:
    """Collects one store, with the ledger that knows what is published from it."""

    def __init__(self, home: Path, engine: Engine, age: Age, bucket: Bucket | None = None) -> None:
        self._home, self._store, self._engine, self._age = home, home / "store", engine, age
        self._bucket = bucket
        self._now = time.time()

    def collect(self, *, dry_run: bool) -> list[Finding]:
        """Do what is due, or with `dry_run` only list it.

        Raises ConfigInvalid when the ledger knows no job but the store holds results: it is that of another service.
        """
        with reading(self._engine) as connection:
            # A ledger whose jobs were all deleted has lines about them.
            used = [connection.execute(select(table.c.seq).limit(1)).first() for table in (tables.job, tables.audit)]
        if not any(used) and any(self._results()):
            hint = "Check ROADSCRIBE_HOME and ROADSCRIBE_DATABASE_URL."
            raise ConfigInvalid(
                "the ledger knows no job, but the store holds results", where=str(self._home), hint=hint
            )
        with storage_errors(str(self._store)):
            found = [*self._release(dry_run), *self._results_due(dry_run), *self._leftovers(dry_run)]
        return [*found, *(self._objects_due(self._bucket, dry_run) if self._bucket else ())]

    def release(self, job_id: str) -> None:
        """Forget the published files of a job that has ended; a snapshot's are refused with ConfigInvalid."""
        with writing(self._engine) as connection:
            state = connection.execute(select(tables.job.c.state).where(tables.job.c.id == job_id)).scalar()
            of_snapshot = select(tables.snapshot.c.number).where(tables.snapshot.c.job_id == job_id).limit(1)
            if state not in tables.TERMINAL or connection.execute(of_snapshot).one_or_none() is not None:
                hint = "Files can be released of a job that has ended and is no snapshot of a dataset."
                raise ConfigInvalid("the files of this job cannot be released", where=job_id, hint=hint)
            connection.execute(delete(tables.artifact).where(tables.artifact.c.job_id == job_id))

    def _release(self, dry_run: bool) -> Iterator[Finding]:
        if not self._age.published:
            return
        job, artifact, snapshot = tables.job, tables.artifact, tables.snapshot
        ended = job.c.state.in_(tables.TERMINAL) & (job.c.updated_at < self._now - self._age.published * DAY_S)
        query = (
            select(job.c.id, func.sum(artifact.c.size_bytes))
            .join(artifact, artifact.c.job_id == job.c.id)
            .where(ended, job.c.id.not_in(select(snapshot.c.job_id)))
            .group_by(job.c.id)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        for job_id, size in rows:
            yield Finding("release", f"job {job_id}", int(size))
            if not dry_run:
                self.release(job_id)

    def _results_due(self, dry_run: bool) -> Iterator[Finding]:
        needed = self._needed()
        for folder in self._results():
            name = f"{folder.parent.name}-{folder.name}"
            mark = self._store / MARKS / name
            used, condemned = _changed_at(folder), _changed_at(mark)
            if used is None:
                continue  # set aside meanwhile
            if (folder.parent.name, folder.name) in needed or self._now - used < self._age.unused * DAY_S:
                if not dry_run:
                    mark.unlink(missing_ok=True)
            elif condemned is None or used >= condemned:  # a job used it since: it is condemned from now on
                yield Finding("condemn", name, _size(folder))
                if not dry_run:
                    mark.parent.mkdir(parents=True, exist_ok=True)
                    mark.touch()
            elif self._now - condemned >= self._age.condemned * DAY_S:
                yield Finding("delete", name, _size(folder))
                if not dry_run:
                    _remove(folder, self._store / "deleted" / name)
                    mark.unlink(missing_ok=True)

    def _leftovers(self, dry_run: bool) -> Iterator[Finding]:
        """Delete what was set aside or left by attempts long ago, and reports that no job names."""
        with reading(self._engine) as connection:
            named = set(connection.execute(select(tables.artifact.c.stored)).scalars())
            worked_on = set(connection.execute(select(tables.stage_lease.c.stage)).scalars())
        # These have no second phase, and a job may be at work in them or be about to go on from there.
        unused = max(self._age.unused, LEAST_DAYS)
        places = [
            (self._store / "damaged", self._age.damaged),
            (self._store / "work", unused),
            (self._home / "reports", unused),
            (self._home / "fetched", unused),
            (self._store / "deleted", 0.0),
        ]
        for place, days in places:
            for path in sorted(place.iterdir()) if place.is_dir() else ():
                stored = path.relative_to(self._home).as_posix()
                in_use = stored in named or (place.name == "work" and path.name in worked_on)
                # A lock that is deleted while somebody waits for it locks nothing; it takes no space.
                if not in_use and path.suffix != ".lock" and self._is_older(path, days):
                    yield Finding("delete", stored, _size(path))
                    if not dry_run:
                        with suppress(FileNotFoundError):  # another process has removed some of it meanwhile
                            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _objects_due(self, bucket: Bucket, dry_run: bool) -> Iterator[Finding]:
        """The same two phases for the objects of published files."""
        with reading(self._engine) as connection:
            needed = set(connection.execute(select(tables.artifact.c.sha256).distinct()).scalars())
        marks = {entry.path.rpartition("/")[2]: entry for entry in bucket.entries(MARKS)}
        for entry in list(bucket.entries(OBJECTS)):
            sha256 = entry.path.rpartition("/")[2]
            mark = marks.get(sha256)
            if sha256 in needed or self._now - entry.modified.timestamp() < self._age.unused * DAY_S:
                if mark and not dry_run:
                    bucket.delete(mark.path)
            elif mark is None:
                yield Finding("condemn", sha256, entry.size_bytes)
                if not dry_run:
                    bucket.put_mark(mark_path(sha256))
            elif self._is_condemned(bucket, sha256, mark):
                yield Finding("delete", sha256, entry.size_bytes)
                if not dry_run:
                    bucket.delete(entry.path)
                    bucket.delete(mark.path)

    def _is_condemned(self, bucket: Bucket, sha256: str, mark: Entry) -> bool:
        """Return whether an object was condemned long enough ago, and still is: a job may publish it meanwhile."""
        latest = self._now - self._age.condemned * DAY_S
        if mark.modified.timestamp() > latest:
            return False
        with reading(self._engine) as connection:
            named = select(tables.artifact.c.job_id).where(tables.artifact.c.sha256 == sha256).limit(1)
            if connection.execute(named).first() is not None:
                return False
        still = bucket.entry(mark.path)
        return still is not None and still.modified.timestamp() <= latest

    def _results(self) -> Iterator[Path]:
        yield from sorted(path for path in (self._store / "objects").glob("*/*") if path.is_dir())

    def _needed(self) -> set[tuple[str, str]]:
        """Return the stages and keys of results that published files lie in."""
        with reading(self._engine) as connection:
            stored = connection.execute(select(tables.artifact.c.stored).distinct()).scalars()
            parts = [path.split("/") for path in stored]
        return {(part[2], part[3]) for part in parts if part[:2] == ["store", "objects"]}

    def _is_older(self, path: Path, days: float) -> bool:
        """Return whether nothing in a folder, which an attempt may write deep inside, is newer; False if it is gone."""
        times = [at for one in _all(path) if (at := _changed_at(one)) is not None]
        return bool(times) and self._now - max(times) >= days * DAY_S


def _changed_at(path: Path) -> float | None:
    """Return when a file or folder was changed, None if it is not there."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def _all(path: Path) -> Iterator[Path]:
    """Yield a path and what is below it, while others write and remove files there."""
    yield path
    for folder, folders, files in os.walk(path):  # unlike rglob it passes over a folder that vanishes
        yield from (Path(folder, name) for name in (*folders, *files))


def _size(path: Path) -> int:
    size = 0
    for one in _all(path):
        with suppress(FileNotFoundError):
            size += one.stat().st_size if one.is_file() else 0
    return size


def _remove(folder: Path, aside: Path) -> None:
    """Take a folder out of the store in one step, then delete its files: a reader finds all of them or none."""
    aside.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):  # a job has set it aside meanwhile, or another collection deletes it
        folder.rename(aside)
        shutil.rmtree(aside)
