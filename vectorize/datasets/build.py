"""A snapshot made of folders of shards: what is kept, its splits, and the record of it."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain, product
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from recon.artifact import Manifest, atomic_folder, read_manifest, seal
from recon.errors import ArtifactInvalid, ConfigInvalid
from recon.progress import Tick, silent
from vectorize.datasets.config import SPLITS, FilterConfig, SnapshotConfig
from vectorize.datasets.croissant import croissant
from vectorize.datasets.layout import CROISSANT, PAGE, RECORD, SAMPLES
from vectorize.datasets.page import page
from vectorize.datasets.places import Cell, cell_of
from vectorize.datasets.snapshot import FORMAT, SCHEMA, Snapshot, table_bytes
from vectorize.datasets.splits import Splits
from vectorize.labels.class_ids import CLASS_TYPE
from vectorize.labels.shard import INDEX, ShardSet
from vectorize.place_cells import PLACE_DEG, WGS84

KIND = "Snapshot"
_PATCH = ("length_m", "width_m", "mask_cell_m")

Row = dict[str, Any]


class _Sources:
    """The samples of drives, each as it was labelled last, and where the tar files lie."""

    def __init__(self) -> None:
        self._of_drive: dict[str, list[Row]] = {}  # by the prefix of their keys
        self._prefixes: dict[str, set[str]] = {}  # of the drives of one name
        self.files: dict[str, Path] = {}
        self.patch: dict[str, float] = {}
        self.images = True

    def add_shards(self, folder: Path) -> None:
        """Take the samples of a folder of shards."""
        manifest = read_manifest(folder, kind=ShardSet.kind, schema=ShardSet.schema, verify=False)
        data = (folder / INDEX).read_bytes()
        if hashlib.sha256(data).hexdigest() != manifest.files.get(INDEX):
            raise ArtifactInvalid("the index is damaged", where=str(folder / INDEX), hint="Pack the labels again.")
        rows = pq.read_table(io.BytesIO(data)).to_pylist()
        drive = str(manifest.meta["drive"])
        self.files |= {sha: folder / name for name, sha in manifest.files.items() if name.endswith(".tar")}
        # Shards of an earlier version state no confidence.
        self._add({"confidence": None, **row, "shard": manifest.files[row["shard"]], "drive": drive} for row in rows)
        if rows:  # a drive that was left out of its site has none, and its shards no images
            self._fit({name: manifest.meta[name] for name in _PATCH}, bool(manifest.meta["with_images"]), folder)

    def add_base(self, folder: Path, config: SnapshotConfig) -> str:
        """Take the samples of an earlier snapshot, and return its sha256."""
        base = Snapshot.parse((folder / RECORD).read_bytes(), str(folder))
        if base.record["splits"] != asdict(config.splits) or base.dataset != config.dataset:
            hint = "Use the splits of its first snapshot, or another name."
            raise ConfigInvalid("the name and the splits of a dataset never change", where=base.dataset, hint=hint)
        self._add(base.rows((folder / SAMPLES).read_bytes()))
        self.files |= {one.sha256: folder / one.path for one in base.shards.values()}
        self._fit(dict(base.record["patch"]), bool(base.record["images"]), folder)
        return base.sha256

    def rows(self) -> Iterator[Row]:
        """Yield the samples."""
        return chain.from_iterable(self._of_drive.values())

    def _add(self, rows: Iterable[Row]) -> None:
        # The key of a sample is that of its drive's images and a number: labels of the same images are replaced as a
        # whole, so that none of an earlier labelling is left between them.
        fresh: dict[str, list[Row]] = {}
        for row in rows:
            fresh.setdefault(row["key"].rpartition("-")[0], []).append(row)
        for own in fresh.values():
            # A drive that got or lost files has other keys, and is known by its keyframes.
            seen: dict[int, set[Cell]] = {}
            for row in own:
                seen.setdefault(row["time_ns"], set()).update(_cells_about(row["place"]))
            for earlier in self._prefixes.get(own[0]["drive"], set()) - fresh.keys():
                self._of_drive[earlier] = [
                    row for row in self._of_drive[earlier] if _cell(row["place"]) not in seen.get(row["time_ns"], ())
                ]
        for prefix, own in fresh.items():
            self._prefixes.setdefault(own[0]["drive"], set()).add(prefix)
        self._of_drive |= fresh

    def _fit(self, patch: dict[str, float], images: bool, folder: Path) -> None:
        if self.patch and patch != self.patch:
            hint = "Label all drives of a dataset with one crop.length_m, crop.width_m and crop.mask_cell_m."
            message = f"the labels' patch is {patch}, that of others {self.patch}"
            raise ConfigInvalid(message, where=str(folder), hint=hint)
        self.patch, self.images = patch, self.images and images


def _cell(place: str) -> Cell:
    """Return the cell of a keyframe; all local metres are one frame, since a drive may have joined a site."""
    frame, column, row = cell_of(place)
    return WGS84 if frame == WGS84 else "", column, row


def _cells_about(place: str) -> Iterator[Cell]:
    """Yield the cells where the same keyframe may lie: an alignment moves it by metres, maybe over a border."""
    frame, column, row = _cell(place)
    for i, j in product((-1, 0, 1), repeat=2):
        yield frame, column + i, row + j


def build(
    shards: Sequence[Path],
    config: SnapshotConfig,
    folder: Path,
    tick: Tick = silent,
    *,
    base: Path | None = None,
    parents: Mapping[str, str] | None = None,
    config_digest: str = "",
) -> Manifest:
    """Write a snapshot of folders of shards, and of an earlier snapshot, to a new `folder`; return its manifest.

    A keyframe that comes several times has its last labels. Tar files are linked where the
    file system can, and every one is read and checked. Raises ConfigInvalid when patches differ, the splits are not
    those of `base` or no sample is left, and ArtifactInvalid for a damaged file.
    """
    sources = _Sources()
    extends = sources.add_base(base, config) if base else ""
    for one in shards:
        sources.add_shards(one)
    rows, left_out = _kept(sources, config)
    if not rows:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "there were none"
        raise ConfigInvalid(f"no sample is left: {reasons}", where="filters", hint="Loosen the filters.")
    samples = table_bytes(rows)
    record = _record(rows, sources, config, samples) | {"extends": extends, "left_out": left_out}
    data = json.dumps(record, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
    snapshot = Snapshot.parse(data, str(folder))
    with atomic_folder(folder) as scratch:
        for done, one_file in enumerate(snapshot.shards.values()):
            _link(sources.files[one_file.sha256], scratch / one_file.path)
            tick(done + 1, len(snapshot.shards), "shards")
        (scratch / RECORD).write_bytes(data)
        (scratch / SAMPLES).write_bytes(samples)
        (scratch / CROISSANT).write_text(json.dumps(croissant(snapshot), indent=1) + "\n", encoding="utf-8")
        summary = _summary(snapshot)
        (scratch / PAGE).write_text(page(summary), encoding="utf-8")
        meta = {"summary": {"snapshot": summary}}
        manifest = seal(scratch, kind=KIND, schema=SCHEMA, meta=meta, parents=parents, config=config_digest)
        for one_file in snapshot.shards.values():
            if manifest.files[one_file.path] != one_file.sha256:
                where = str(sources.files[one_file.sha256])
                raise ArtifactInvalid("a shard changed since it was packed", where=where, hint="Pack the labels again.")
    return manifest


def _summary(snapshot: Snapshot) -> dict[str, Any]:
    """Return what people read first: the record without its shards."""
    names = ("dataset", "extends", "patch", "images", "splits", "filters", "totals", "left_out")
    return {name: snapshot.record[name] for name in names} | {
        "sha256": snapshot.sha256,
        "shards": len(snapshot.shards),
        "size_bytes": sum(one.size_bytes for one in snapshot.shards.values()),
    }


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


def _kept(sources: _Sources, config: SnapshotConfig) -> tuple[list[Row], dict[str, int]]:
    """Return the samples that stay, by drive and frame, each with its split; and how many do not, by reason."""
    patch = sources.patch
    splits = Splits(config.dataset, config.splits, math.hypot(patch["length_m"], patch["width_m"])) if patch else None
    kept, left_out = [], Counter[str]()
    for row in sources.rows():
        reason = _refused(row, config.filters)
        split = "" if splits is None or reason else splits.of(row["place"])
        if split:
            kept.append(row | {"split": split})
        else:
            left_out[reason or "between splits"] += 1
    order = sorted(kept, key=lambda row: (row["drive"], row["shard"], row["offset"]))
    return order, dict(sorted(left_out.items()))


def _refused(row: Row, filters: FilterConfig) -> str:
    if row["coverage"] < filters.min_coverage:
        return "known too little"
    if row["confidence"] is not None and row["confidence"] < filters.min_confidence:
        return "too uncertain"
    if filters.classes and not any(row[name] for name in filters.classes):
        return "without these classes"
    if filters.bounds_deg:
        frame, column, row_number = cell_of(row["place"])
        west, south, east, north = filters.bounds_deg
        inside = west <= (column + 0.5) * PLACE_DEG <= east and south <= (row_number + 0.5) * PLACE_DEG <= north
        if frame != WGS84 or not inside:
            return "out of bounds"
    return ""


def _record(rows: Sequence[Row], sources: _Sources, config: SnapshotConfig, samples: bytes) -> dict[str, Any]:
    of_shard: dict[str, list[Row]] = {}
    for row in rows:
        of_shard.setdefault(row["shard"], []).append(row)
    return {
        "format": FORMAT,
        "schema": SCHEMA,
        "dataset": config.dataset,
        "patch": sources.patch,
        "images": sources.images,
        "splits": asdict(config.splits),
        "filters": asdict(config.filters),
        "samples": {
            "path": SAMPLES,
            "sha256": hashlib.sha256(samples).hexdigest(),
            "size_bytes": len(samples),
            "count": len(rows),
        },
        "totals": {name: _figures([row for row in rows if row["split"] == name]) for name in SPLITS},
        "shards": [
            {
                "sha256": sha256,
                "size_bytes": sources.files[sha256].stat().st_size,
                "drive": own[0]["drive"],
                "bounds": _bounds(own),
                "splits": {name: sum(row["split"] == name for row in own) for name in SPLITS},
                **_figures(own),
            }
            for sha256, own in of_shard.items()
        ],
    }


def _figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what some samples hold: counts, known share and mean confidence."""
    sure = [row["confidence"] for row in rows if row["confidence"] is not None]
    return {
        "samples": len(rows),
        "drives": len({row["drive"] for row in rows}),
        "places": len({row["place"] for row in rows}),
        "elements": {name: sum(row[name] for row in rows) for name in CLASS_TYPE},
        "coverage": round(sum(row["coverage"] for row in rows) / len(rows), 6) if rows else None,
        "confidence": round(sum(sure) / len(sure), 6) if sure else None,
    }


def _bounds(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the bounding box of the places, in degrees; of a drive without an origin, of its path, in metres."""
    cells = [cell_of(row["place"]) for row in rows]
    if cells[0][0] == WGS84:
        columns, numbers = [cell[1] for cell in cells], [cell[2] for cell in cells]
        corners = (min(columns), min(numbers), max(columns) + 1, max(numbers) + 1)
        west, south, east, north = (round(corner * PLACE_DEG, 3) for corner in corners)
        return {"unit": "deg", "west": west, "south": south, "east": east, "north": north}
    xs, ys = [row["x_m"] for row in rows], [row["y_m"] for row in rows]
    box = {"west": min(xs), "south": min(ys), "east": max(xs), "north": max(ys)}
    return {"unit": "m", "frame": cells[0][0]} | {name: round(value, 3) for name, value in box.items()}
