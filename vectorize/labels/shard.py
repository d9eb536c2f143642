"""Shards: labels as WebDataset tar files with an index and a sealed manifest; the same input gives the same bytes."""

from __future__ import annotations

import errno
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recon.arrays import Bool
from recon.artifact import Manifest, atomic_folder, canonical_json, digest_json, read_manifest, seal
from recon.drive import DriveLog
from recon.errors import ArtifactInvalid, InputLost, StorageError
from recon.progress import Tick, silent
from vectorize.config import PackConfig
from vectorize.labels.label_set import LabelSet, PseudoLabels
from vectorize.labels.sample import element_counts, place_of, sample_record
from vectorize.labels.view_members import DEPTH, DEPTH_UNIT_M, IDS, IdsOf, member_name, stored_drive, view_members

INDEX = "index.parquet"
KNOWN = "known.png"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One keyframe as a consumer sees it."""

    key: str
    record: dict[str, Any]  # the sample JSON, see docs/labels.md
    known: Bool  # (h, w): row 0 farthest forward, column 0 farthest left
    images: dict[str, bytes]  # member name of the camera -> encoded image, where the shard carries images
    ids: dict[str, bytes] = field(default_factory=dict)  # the same -> PNG of RoadClass ids
    depth: dict[str, bytes] = field(default_factory=dict)  # the same -> 16-bit PNG, in `depth_unit_m` of the record
    observed: Bool | None = None  # (h, w): what lent images saw, where labels such as a true map know more


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSet:
    """A finished folder of shards."""

    kind: ClassVar[str] = "Shard"
    schema: ClassVar[int] = 1

    folder: Path
    manifest: Manifest
    rows: tuple[dict[str, Any], ...] | None = None  # of the index, where it is kept elsewhere

    def index(self) -> list[dict[str, Any]]:
        """Return the rows of the index, with the columns of docs/labels.md."""
        if self.rows is not None:
            return list(self.rows)
        rows: list[dict[str, Any]] = pq.read_table(self.folder / INDEX).to_pylist()
        return rows

    def read(self, row: Mapping[str, Any]) -> Sample:
        """Return the sample of a row of the index, without a look at the others.

        Raises ArtifactInvalid if the file has changed since, InputLost if it is gone, and StorageError when the disk or
        the network does not answer: a later try may succeed.
        """
        path = self.folder / row["shard"]
        try:
            with path.open("rb") as stream:
                stream.seek(row["offset"])
                data = stream.read(row["size"])
        except OSError as error:
            kind = InputLost if error.errno == errno.ENOENT else StorageError
            raise kind(f"the shard cannot be read: {error.strerror or error}", where=str(path)) from error
        return parse_sample(row["key"], data, str(path))

    def __iter__(self) -> Iterator[Sample]:
        for name in sorted(n for n in self.manifest.files if n.endswith(".tar")):
            yield from _samples(self.folder / name)


def parse_sample(key: str, data: bytes, where: str) -> Sample:
    """Return the sample in a piece of a tar file; raises ArtifactInvalid."""
    try:
        return _sample(key, {name.removeprefix(f"{key}."): body for name, body in _members_of(data)})
    except (KeyError, ValueError) as error:
        raise ArtifactInvalid(f"the sample does not parse: {error}", where=f"{where}: {key}") from error


def key_prefix(labels: LabelSet, drive: DriveLog) -> str:
    """Return what the keys of a drive's samples share: its name, made safe, and the digest of its content."""
    # Drives of one name must not collide in a consumer's pool: the key also names their content.
    return f"{member_name(labels.drive)}-{_content(drive)[:8]}"


def sample_key(prefix: str, one: PseudoLabels) -> str:
    """Return the key of one keyframe's sample, wherever it is written."""
    return f"{prefix}-{one.frame:06d}"


def pack(
    labels: LabelSet,
    drive: DriveLog,
    config: PackConfig,
    folder: Path,
    tick: Tick = silent,
    *,
    ids_of: IdsOf | None = None,
    parents: Mapping[str, str] | None = None,
    config_digest: str = "",
) -> Manifest:
    """Write the labels as shards to a new `folder`, atomically, and return the manifest.

    `ids_of` is needed if `with_ids` is set. Raises what `view_members` raises, and DiskFull or StorageError.
    """
    slug = key_prefix(labels, drive)
    rows: list[dict[str, Any]] = []
    with atomic_folder(folder) as scratch:
        for start in range(0, max(1, len(labels.labels)), config.samples_per_shard):
            name = f"{slug}-{start // config.samples_per_shard:06d}.tar"
            with (
                (scratch / name).open("wb") as stream,
                tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar,
            ):
                for one in labels.labels[start : start + config.samples_per_shard]:
                    key = sample_key(slug, one)
                    offset = tar.offset
                    for extension, data in _members(key, one, labels, drive, config, ids_of):
                        _add(tar, f"{key}.{extension}", data)
                    rows.append(
                        _row(key, name, offset, tar.offset - offset, one, place_of(one, drive, config.local_frame))
                    )
                    tick(len(rows), len(labels.labels), "samples")
        pq.write_table(_table(rows), scratch / INDEX, compression="none", store_schema=False)
        meta = {
            "drive": labels.drive,
            "samples": len(rows),
            "with_images": config.with_images,
            "length_m": labels.length_m,
            "width_m": labels.width_m,
            "mask_cell_m": labels.mask_cell_m,
            "coverage": round(float(np.mean([one.coverage for one in labels.labels])), 6) if rows else 0.0,
            "elements": {k: sum(r[k] for r in rows) for k in element_counts(())},
            **({"with_ids": True} if config.with_ids else {}),
            **({"with_depth": True} if config.with_depth else {}),
        }
        return seal(
            scratch, kind=ShardSet.kind, schema=ShardSet.schema, meta=meta, parents=parents, config=config_digest
        )


def read_shard(folder: Path, *, verify: bool = True) -> ShardSet:
    """Open shards; with `verify` every file is checked against its sha256 first.

    Raises ArtifactInvalid (damaged), ArtifactForeign and ArtifactTooNew.
    """
    manifest = read_manifest(folder, kind=ShardSet.kind, schema=ShardSet.schema, verify=verify)
    return ShardSet(folder=folder, manifest=manifest)


def _members(
    key: str, one: PseudoLabels, labels: LabelSet, drive: DriveLog, config: PackConfig, ids_of: IdsOf | None
) -> Iterator[tuple[str, bytes]]:
    # One bit a cell; no filter guesses, so that the bytes depend on the mask alone.
    done, png = cv2.imencode(".png", one.known.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])
    if not done:
        raise AssertionError("a mask did not encode as PNG")
    record = sample_record(key, one, labels, stored_drive(drive, config), local_frame=config.local_frame)
    if config.with_depth:
        record["depth_unit_m"] = DEPTH_UNIT_M
    yield "json", canonical_json(record)
    yield KNOWN, png.tobytes()
    yield from view_members(one.frame, drive.frames[one.frame], drive, config, ids_of)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)  # time, owner and group stay zero: equal labels make equal bytes
    info.size = len(data)
    info.mode = 0o644
    tar.addfile(info, io.BytesIO(data))


def _content(drive: DriveLog) -> str:
    """Return a digest of when and what the drive's cameras recorded, wherever it lies."""
    return digest_json([[image.camera, image.time_ns, image.sha256] for _, _, image in drive.images()])


def _row(key: str, shard: str, offset: int, size: int, one: PseudoLabels, place: str) -> dict[str, Any]:
    return {
        "key": key,
        "shard": shard,
        "offset": offset,
        "size": size,
        "frame": one.frame,
        "time_ns": one.time_ns,
        "x_m": float(one.world_from_ego[0, 3]),
        "y_m": float(one.world_from_ego[1, 3]),
        "place": place,
        "coverage": one.coverage,
        "confidence": _confidence(one),
        **element_counts(one.elements),
    }


def _confidence(one: PseudoLabels) -> float | None:
    """Return the mean over all vertices; None of a sample without elements."""
    every = [element.confidence for element in one.elements]
    return round(float(np.mean(np.concatenate(every))), 6) if every else None


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    kinds = {"key": pa.string(), "shard": pa.string(), "place": pa.string()}
    kinds |= {name: pa.float64() for name in ("x_m", "y_m", "coverage", "confidence")}
    order = ["key", "shard", "offset", "size", "frame", "time_ns", "x_m", "y_m", "place", "coverage", "confidence"]
    columns = [*order, *element_counts(())]
    schema = pa.schema([(name, kinds.get(name, pa.int64())) for name in columns])
    return pa.Table.from_pylist(rows, schema=schema)


def _samples(path: Path) -> Iterator[Sample]:
    try:
        with tarfile.open(path, mode="r:") as tar:
            key = ""
            members: dict[str, bytes] = {}
            for info in tar:
                stem, _, extension = info.name.partition(".")
                stream = tar.extractfile(info)
                if stream is None:
                    raise ArtifactInvalid("a member of the shard is not a file", where=f"{path}: {info.name}")
                if stem != key and members:
                    yield _sample(key, members)
                    members = {}
                key = stem
                members[extension] = stream.read()
            if members:
                yield _sample(key, members)
    except (tarfile.TarError, KeyError, ValueError) as error:
        raise ArtifactInvalid(f"the shard does not parse: {error}", where=str(path)) from error


def _members_of(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the members in a piece of a tar file; ten times as fast as `tarfile`.

    Source: POSIX.1-1988, ustar: blocks of 512 bytes; the name in the first 100 bytes of a header, the size in octal.
    """
    at = 0
    while at < len(data):
        name = data[at : at + 100].rstrip(b"\0").decode()
        prefix = data[at + 345 : at + 500].rstrip(b"\0").decode()
        size = int(data[at + 124 : at + 135], 8)
        body = data[at + 512 : at + 512 + size]
        if len(body) < size:
            raise ValueError("a member is cut off")
        yield f"{prefix}/{name}" if prefix else name, body
        at += 512 + (size + 511) // 512 * 512


def _sample(key: str, members: dict[str, bytes]) -> Sample:
    mask = cv2.imdecode(np.frombuffer(members[KNOWN], np.uint8), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise ValueError(f"{key}: the mask does not decode")
    images: dict[str, bytes] = {}
    ids: dict[str, bytes] = {}
    depth: dict[str, bytes] = {}
    for name, data in members.items():
        camera, _, kind = name.partition(".")
        if name not in ("json", KNOWN):
            {IDS: ids, DEPTH: depth}.get(kind, images)[camera] = data
    return Sample(key=key, record=json.loads(members["json"]), known=mask > 0, images=images, ids=ids, depth=depth)
