"""Where a snapshot can be opened: a folder, a bucket (s3://, gs://), or the address of a dataset at a service."""

from __future__ import annotations

import errno
import os
import re
import ssl
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx
from pyarrow import fs

from recon.errors import ArtifactForeign, InputLost, StorageError
from vectorize.datasets.layout import RECORD
from vectorize.datasets.snapshot import Snapshot

PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)  # between repeated requests
_CHUNK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NUMBERED = re.compile(r".*/snapshots/\d+")

T = TypeVar("T")


class Source(Protocol):
    """The files of one snapshot."""

    @property
    def address(self) -> str:
        """Return where it is."""

    def local(self, path: str) -> Path | None:
        """Return the file itself where it lies in a folder of this machine."""

    def read(self, path: str) -> bytes:
        """Return a small file; InputLost when it is not there, StorageError when nobody answers."""

    def fetch(self, path: str, target: Path) -> None:
        """Copy a file; its bytes are not verified here. Raises what `read` raises, and OSError for a full disk."""


class Folder:
    """A snapshot in a folder or a bucket."""

    def __init__(self, address: str) -> None:
        remote = "://" in address
        self.address = address if remote else str(Path(address).resolve())
        # obstore would be the obvious choice, but hangs in the forked workers of a DataLoader.
        self._files, root = fs.FileSystem.from_uri(self.address) if remote else (fs.LocalFileSystem(), self.address)
        self._root = str(root).rstrip("/")

    def local(self, path: str) -> Path | None:
        """Return the file itself unless it lies in a bucket."""
        return Path(self._root, path) if isinstance(self._files, fs.LocalFileSystem) else None

    def read(self, path: str) -> bytes:
        """Return a small file."""
        return _patiently(lambda: self._read(path), self.address)

    def fetch(self, path: str, target: Path) -> None:
        """Copy a file."""
        _patiently(lambda: self._fetch(path, target), self.address)

    def _read(self, path: str) -> bytes:
        with self._open(path) as stream:
            return bytes(stream.read())

    def _fetch(self, path: str, target: Path) -> None:
        with self._open(path) as stream, target.open("wb") as out:
            while data := stream.read(_CHUNK):
                out.write(data)

    def _open(self, path: str) -> Any:
        try:
            return self._files.open_input_stream(f"{self._root}/{path}", compression=None)
        except FileNotFoundError as error:
            raise InputLost("the snapshot lacks a file", where=f"{self.address}/{path}") from error


class Service:
    """A snapshot of a service."""

    def __init__(self, address: str, api_key: str) -> None:
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.address = address.rstrip("/")
        if not _NUMBERED.fullmatch(self.address):
            self.address += f"/snapshots/{self.entries()[0]['number']}"

    def entries(self) -> list[dict[str, Any]]:
        """Return the snapshots of the dataset, newest first."""
        dataset = re.sub(r"/snapshots/\d+$", "", self.address)
        answer = _patiently(lambda: self._get(f"{dataset}/snapshots"), self.address)
        entries: list[dict[str, Any]] = answer.json()["snapshots"]
        return entries

    def local(self, path: str) -> Path | None:
        """Return None: the files lie elsewhere."""
        return None

    def read(self, path: str) -> bytes:
        """Return a small file."""
        return _patiently(lambda: self._get(f"{self.address}/files/{path}").content, self.address)

    def fetch(self, path: str, target: Path) -> None:
        """Copy a file."""
        _patiently(lambda: self._fetch(path, target), self.address)

    def _fetch(self, path: str, target: Path) -> None:
        url = f"{self.address}/files/{path}"
        plain = {"Accept-Encoding": "identity"}
        with self._http() as http, http.stream("GET", url, headers=plain) as answer, target.open("wb") as out:
            self._check(answer)
            for data in answer.iter_raw():  # as it comes: gathering it in equal pieces costs more than all the rest
                out.write(data)

    def _get(self, url: str) -> httpx.Response:
        with self._http() as http:
            return self._check(http.get(url))

    def _http(self) -> httpx.Client:
        # A connection a file: a shard is large, and a forked worker must not use its parent's connections.
        timeout = httpx.Timeout(10.0, read=90.0)
        # To read the certificates of the authorities for each file would cost more than a small shard.
        verify = _trusted() if self.address.startswith("https://") else False
        return httpx.Client(headers=self._headers, timeout=timeout, trust_env=False, verify=verify)

    def _check(self, answer: httpx.Response) -> httpx.Response:
        if answer.status_code >= 500 or answer.status_code == 429:
            raise StorageError(f"the service answered {answer.status_code}", where=str(answer.url))
        if not answer.is_success:
            hint = "Check the address, and ROADSCRIBE_API_KEY."
            raise InputLost(f"the service answered {answer.status_code}", where=str(answer.url), hint=hint)
        return answer


@cache
def _trusted() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def open_source(address: str, api_key: str = "", *, sha256: str = "") -> tuple[Source, Snapshot]:
    """Return the snapshot at an address and its files; a dataset without a number is its newest snapshot.

    With `sha256` that very snapshot is opened, also where a newer one has appeared. Raises ArtifactForeign when it is
    not there, InputLost and StorageError.
    """
    if not address.startswith(("http://", "https://")):
        source: Source = Folder(address)
    else:
        service = Service(address, api_key or os.environ.get("ROADSCRIBE_API_KEY", ""))
        if sha256:
            number = next((one["number"] for one in service.entries() if one["sha256"] == sha256), None)
            if number is not None:
                service.address = re.sub(r"\d+$", str(number), service.address)
        source = service
    snapshot = Snapshot.parse(source.read(RECORD), source.address)
    if sha256 and snapshot.sha256 != sha256:
        raise ArtifactForeign(f"the snapshot {sha256[:12]} is not here", where=source.address)
    return source, snapshot


def _patiently(call: Callable[[], T], where: str) -> T:
    """Repeat a call while nobody answers, a few times."""
    for pause_s in (*PAUSES_S, None):
        try:
            return call()
        except (httpx.TransportError, OSError, StorageError) as error:
            if isinstance(error, OSError) and error.errno in _FULL:
                raise  # the disk here is full: to ask again would fill it again
            if pause_s is None:
                raise StorageError(f"the snapshot cannot be read: {error}", where=where) from error
        assert pause_s is not None
        time.sleep(pause_s)
    raise AssertionError("the last round returns or raises")
