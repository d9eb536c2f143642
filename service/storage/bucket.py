"""Published files by content in one place for all machines: a folder, or a bucket of S3.

An object is created once and never changed: the name is the sha256, and the store refuses a second writer. On a local
disk obstore's own `copy` is a hard link, which shares its bytes with the original; files are always put as new bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, from_url

from recon.errors import ArtifactDamaged, ConfigInvalid, StorageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

CHUNK = 8 << 20
# Not longer: a job is tried again anyway, and a request waits.
RETRIES: RetryConfig = {"max_retries": 5, "retry_timeout": timedelta(seconds=20)}
SCHEMES = ("file://", "s3://")
OBJECTS, MARKS = "objects/sha256", "condemned"


@dataclass(frozen=True, slots=True)
class Entry:
    """An object as a list shows it."""

    path: str
    size_bytes: int
    modified: datetime


class Bucket:
    """Objects by path. Credentials and endpoint of S3 come from AWS_ variables, never from a job."""

    def __init__(self, url: str) -> None:
        """Open a bucket by URL, `file:///folder` or `s3://bucket/prefix`; raises ConfigInvalid for another."""
        if not url.startswith(SCHEMES):
            hint = "Use file:///folder or s3://bucket/prefix."
            raise ConfigInvalid("the place for published files is unknown", where="ROADSCRIBE_PUBLISH_URL", hint=hint)
        with _storage(url):
            self._store: ObjectStore = (
                LocalStore(url.removeprefix("file://"), mkdir=True)
                if url.startswith("file://")
                else from_url(url, retry_config=RETRIES)
            )

    def put_new(self, file: Path, sha256: str) -> str:
        """Store a file under its sha256, unless it is there, and return its path.

        What is there is read back: a damaged object gives way. One that a collection has condemned is so no more: the
        ledger names it only once the whole job is published. Raises StorageError, and ArtifactDamaged when the file
        itself has other bytes.
        """
        path = object_path(sha256)
        with _storage(path):
            for _ in range(2):
                try:
                    # In parts an object could not be created on condition.
                    obstore.put(self._store, path, file, mode="create", use_multipart=False)
                except AlreadyExistsError:
                    self.delete(mark_path(sha256))  # before the bytes are read, which takes a while
                if self._digest(path) == sha256:
                    return path
                self.delete(path)
        raise ArtifactDamaged("a file changed while it was published", where=file.name)

    def fetch(self, sha256: str, target: Path) -> bool:
        """Write an object's bytes to a file; False, and no file, if it is not there or damaged."""
        digest, sound = hashlib.sha256(), False
        try:
            with _storage(sha256), contextlib.suppress(FileNotFoundError):
                chunks = obstore.get(self._store, object_path(sha256)).stream(min_chunk_size=CHUNK)
                with target.open("wb") as stream:
                    for chunk in chunks:
                        digest.update(chunk)
                        stream.write(chunk)
            sound = digest.hexdigest() == sha256
        finally:
            if not sound:
                target.unlink(missing_ok=True)
        return sound and target.exists()

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Yield the objects below a prefix."""
        with _storage(prefix):
            for page in obstore.list(self._store, prefix):
                for one in page:
                    yield Entry(one["path"], one["size"], one["last_modified"])

    def entry(self, path: str) -> Entry | None:
        """Return an object as it is now, None if it is not there."""
        with _storage(path), contextlib.suppress(FileNotFoundError):
            one = obstore.head(self._store, path)
            return Entry(one["path"], one["size"], one["last_modified"])
        return None

    def put_mark(self, path: str) -> None:
        """Create an empty object, or leave the one that is there with its date."""
        with _storage(path), contextlib.suppress(AlreadyExistsError):
            obstore.put(self._store, path, b"", mode="create", use_multipart=False)

    def delete(self, path: str) -> None:
        """Remove an object that may be there."""
        with _storage(path), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, path)

    def _digest(self, path: str) -> str:
        """Return the digest of an object, "" if a collection has deleted it meanwhile."""
        digest = hashlib.sha256()
        try:
            for chunk in obstore.get(self._store, path).stream(min_chunk_size=CHUNK):
                digest.update(chunk)
        except FileNotFoundError:
            return ""
        return digest.hexdigest()


def object_path(sha256: str) -> str:
    """Return where the bytes of this digest lie."""
    return f"{OBJECTS}/{sha256[:2]}/{sha256[2:4]}/{sha256}"


def mark_path(sha256: str) -> str:
    """Return where the mark lies that says since when an object is condemned."""
    return f"{MARKS}/{sha256}"


@contextmanager
def _storage(where: str) -> Iterator[None]:
    """Translate what obstore raises."""
    try:
        yield
    except (BaseError, OSError) as error:
        what = f"the place for published files failed: {type(error).__name__}"
        hint = "Check the place of published files and its credentials."
        raise StorageError(what, where=where, hint=hint) from error
