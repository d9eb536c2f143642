"""The one codec of artifacts: a folder with `manifest.json` and the files it names.

A manifest states kind, schema version, metadata, digest of every file, the digests of the parents and of the
configuration. It is written last, into a folder that is then renamed: a folder with a manifest is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np

from recon.arrays import AnyArray
from recon.errors import ArtifactForeign, ArtifactInvalid, ArtifactTooNew, storage_errors
from recon.memmap import in_chunks, on_file

MANIFEST = "manifest.json"
FORMAT = "roadscribe-artifact"
_FIELDS = ("kind", "schema", "meta", "files", "parents", "config")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an artifact folder holds and where it came from."""

    kind: str
    schema: int
    meta: dict[str, Any]
    files: dict[str, str]  # path relative to the folder -> sha256, sorted
    parents: dict[str, str] = field(default_factory=dict)  # role -> digest
    config: str = ""  # digest of the configuration that made it

    @property
    def digest(self) -> str:
        """Return the sha256 that names this content: kind, schema, metadata and files (not its provenance)."""
        return digest_json({"kind": self.kind, "schema": self.schema, "meta": self.meta, "files": self.files})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The contents of an artifact: JSON metadata and named arrays."""

    meta: dict[str, Any]
    arrays: dict[str, AnyArray]


class Artifact(Protocol):
    """A frozen dataclass that converts to metadata and arrays, and back."""

    kind: ClassVar[str]
    schema: ClassVar[int]

    def to_parts(self) -> Parts:
        """Return metadata and arrays that `from_parts` turns back into an equal artifact."""

    @classmethod
    def from_parts(cls, parts: Parts) -> Self:
        """Build the artifact; raises ValueError when the parts do not fit together."""


T = TypeVar("T", bound=Artifact)


def canonical_json(value: Any) -> bytes:
    """Return the one byte form of a JSON value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def digest_json(value: Any) -> str:
    """Return the sha256 of the canonical JSON form."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def digest_file(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_files(paths: Iterable[Path]) -> str:
    """Return the sha256 over the digests of several files, in their order."""
    return hashlib.sha256("".join(digest_file(path) for path in paths).encode()).hexdigest()


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a scratch folder beside `target` and rename it there on success; on failure nothing is left.

    A `target` that another writer finished first is kept: artifacts are content-addressed, so both are equal.
    """
    scratch = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.part"
    with storage_errors(str(target)):
        scratch.mkdir(parents=True)
        try:
            yield scratch
            try:
                scratch.rename(target)
            except OSError:
                if not (target / MANIFEST).exists():
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, never a part."""
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    with storage_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with scratch.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


def write_first(path: Path, data: bytes) -> bytes:
    """Write a file unless it is there, and return what it holds: of several processes one is first; StorageError."""
    with storage_errors(str(path)):
        if not path.is_file():
            new = path.with_name(f"{path.name}-{uuid.uuid4().hex}")
            write_atomic(new, data)
            with suppress(FileExistsError):  # another process was first
                os.link(new, path)
            new.unlink()
        return path.read_bytes()


def seal(
    folder: Path,
    *,
    kind: str,
    schema: int,
    meta: Mapping[str, Any],
    parents: Mapping[str, str] | None = None,
    config: str = "",
) -> Manifest:
    """Hash every file below `folder` and write its manifest, last. Use inside `atomic_folder`."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    manifest = Manifest(
        kind=kind,
        schema=schema,
        meta=dict(meta),
        files={name: digest_file(folder / name) for name in names},
        parents=dict(parents or {}),
        config=config,
    )
    body = {"format": FORMAT, **asdict(manifest), "digest": manifest.digest}
    with storage_errors(str(folder)):
        (folder / MANIFEST).write_bytes(_manifest_bytes({**body, "seal": _seal_of(body)}))
    return manifest


def _manifest_bytes(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"


def _seal_of(body: Mapping[str, Any]) -> str:
    """Return the sha256 of a whole manifest: the digest names the content only, and leaves out the provenance."""
    return hashlib.sha256(_manifest_bytes({name: value for name, value in body.items() if name != "seal"})).hexdigest()


def read_manifest(folder: Path, *, kind: str, schema: int, verify: bool = True) -> Manifest:
    """Return the manifest of an artifact of the given kind.

    Raises ArtifactForeign (no manifest, another format or kind), ArtifactTooNew (newer schema) and
    ArtifactInvalid (damaged manifest; with `verify`, a file that is missing or whose bytes changed).
    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
        body = json.loads(data)
    except (FileNotFoundError, NotADirectoryError) as error:
        hint = f"Expected a finished {kind} artifact here."
        raise ArtifactForeign("the folder has no manifest.json", where=str(folder), hint=hint) from error
    except (ValueError, OSError) as error:
        raise ArtifactInvalid("the manifest is not valid JSON", where=str(path), hint="Run the stage again.") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT or body.get("kind") != kind:
        found = body.get("kind") if isinstance(body, dict) else None
        raise ArtifactForeign(f"expected a {kind} artifact, found {found!r}", where=str(folder))
    found_schema = body.get("schema")
    if not isinstance(found_schema, int) or found_schema > schema:
        hint = "Upgrade Roadscribe to read it."
        raise ArtifactTooNew(
            f"the {kind} has schema {found_schema}; this version reads up to {schema}", where=str(folder), hint=hint
        )
    try:
        manifest = Manifest(**{name: body[name] for name in _FIELDS})
        intact = manifest.digest == body["digest"]
        # Manifests of earlier versions have no seal.
        known = {"format", "digest", *_FIELDS, *(["seal"] if "seal" in body else [])}
        intact &= body.keys() == known and data == _manifest_bytes(body)
        intact &= body.get("seal") in (None, _seal_of(body))
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactInvalid("the manifest lacks a field", where=str(path), hint="Run the stage again.") from error
    if not intact:
        raise ArtifactInvalid(
            "the manifest does not match its own digest", where=str(path), hint="Run the stage again."
        )
    if verify:
        _verify_files(folder, manifest)
    return manifest


def _verify_files(folder: Path, manifest: Manifest) -> None:
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactInvalid("a file of the artifact is missing", where=str(path), hint="Run the stage again.")
        if digest_file(path) != expected:
            raise ArtifactInvalid(
                "a file of the artifact changed or is truncated", where=str(path), hint="Run the stage again."
            )


def write(
    artifact: Artifact,
    folder: Path,
    *,
    parents: Mapping[str, str] | None = None,
    config: str = "",
) -> Manifest:
    """Write an artifact atomically to `folder` (arrays as .npy files) and return its manifest."""
    parts = artifact.to_parts()
    with atomic_folder(folder) as scratch:
        for name, array in parts.arrays.items():
            _save(scratch / f"{name}.npy", np.asarray(array))
        return seal(
            scratch, kind=artifact.kind, schema=artifact.schema, meta=parts.meta, parents=parents, config=config
        )


def _save(path: Path, array: AnyArray) -> None:
    """Write the bytes that np.save writes; an array that lies in a file passes through memory in pieces."""
    if not array.ndim or not on_file(array):
        np.save(path, np.ascontiguousarray(array), allow_pickle=False)
        return
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
        for rows in in_chunks(array):
            stream.write(rows.tobytes())


def read(cls: type[T], folder: Path, *, verify: bool = True, mapped: bool = False) -> T:
    """Read an artifact of class `cls`; raises what `read_manifest` raises, and ArtifactInvalid for bad arrays.

    `mapped` leaves the arrays in their files: only the parts that are read take memory, see recon/memmap.py.
    """
    manifest = read_manifest(folder, kind=cls.kind, schema=cls.schema, verify=verify)
    try:
        arrays = {
            name.removesuffix(".npy"): np.load(folder / name, mmap_mode="r" if mapped else None, allow_pickle=False)
            for name in manifest.files
            if name.endswith(".npy")
        }
        return cls.from_parts(Parts(meta=manifest.meta, arrays=arrays))
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ArtifactInvalid(f"the contents are not those of a {cls.kind}: {error}", where=str(folder)) from error
