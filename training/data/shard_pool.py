"""Many folders of shards as one pool of samples, each read by its number: no tar file is scanned."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from recon.artifact import MANIFEST
from recon.errors import ArtifactInvalid, ConfigInvalid
from training.data.config import ModelShape
from training.data.targets import check_classes
from vectorize.datasets.snapshot_folder import is_snapshot, split_shards
from vectorize.labels.class_ids import CLASS_TYPE
from vectorize.labels.shard import Sample, ShardSet, read_shard
from vectorize.labels.view_members import member_name

SAME_M = 1e-6  # sizes of patches that count as equal
_SIZES = ("width_px", "height_px", "k")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A sample of a pool: where it lies in its folder, and what a split needs to know of it."""

    shards: int  # which of the pool's folders
    row: dict[str, Any]  # of the index
    drive: str

    @property
    def key(self) -> str:
        """Return the name of the sample."""
        return str(self.row["key"])

    @property
    def place(self) -> str:
        """Return the id of the place cell."""
        return str(self.row["place"])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ShardPool:
    """Samples of one kind, in a fixed order, with what was left out of them."""

    shards: tuple[ShardSet, ...]
    entries: tuple[Entry, ...]
    share: float = 1.0  # of a mix of pools
    weight: float = 1.0  # of the losses of its samples
    pictures: Mapping[str, tuple[ShardSet, dict[str, Any]]] | None = None  # key -> where its images are, if elsewhere
    left_out: Counter[str] = field(default_factory=Counter)  # reason -> samples, at opening and while reading
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(
        cls,
        folders: Sequence[Path],
        config: ModelShape,
        *,
        pictures: Sequence[Path] = (),
        images: bool = True,
        verify: bool = True,
        share: float = 1.0,
        weight: float = 1.0,
        split: str = "train",
    ) -> Self:
        """Open all shards in or below `folders`, each file checked against its sha256, for a model's patch and classes.

        Of a folder that is a snapshot the samples of `split` are taken.

        Shards of other labels for the same keyframes can lend their images: `pictures` are their folders. Samples that
        are lent none keep their own. Those without any, or of which nothing is known, are left out and counted. Raises
        ConfigInvalid for shards that do not fit the model or each other, ArtifactInvalid for damaged ones,
        ArtifactForeign and ArtifactTooNew.
        """
        shards = _opened(folders, split, verify=verify)
        lent = {
            row["key"]: (one, row)
            for one in _opened(pictures, split, verify=verify)
            for row in _index(one, images=True)
        }
        entries: list[Entry] = []
        left_out: Counter[str] = Counter()
        for number, one in enumerate(shards):
            _check_fit(one, config)
            rows = _index(one, images=images and not pictures)
            has_images = not pictures or one.manifest.meta["with_images"]
            seen = [row for row in rows if has_images or row["key"] in lent]
            known = [row for row in seen if row["coverage"] > 0.0]
            if seen:
                check_classes(one.read(seen[0]).record["classes"], config, str(one.folder))
            left_out["no images elsewhere"] += len(rows) - len(seen)
            left_out["nothing is known"] += len(seen) - len(known)
            entries += [Entry(shards=number, row=row, drive=str(one.manifest.meta["drive"])) for row in known]
        _refuse_twice(entries, shards)
        refuse_mixed(shards)
        if not entries:
            raise ConfigInvalid("the shards hold no sample to train with", where=", ".join(map(str, folders)))
        return cls(
            shards=shards,
            entries=tuple(entries),
            share=share,
            weight=weight,
            pictures=lent if pictures else None,
            left_out=+left_out,
        )

    def __len__(self) -> int:
        return len(self.entries)

    def record(self, number: int) -> dict[str, Any]:
        """Return the JSON of a sample's labels by its number: no lent images are read for it."""
        entry = self.entries[number]
        return self.shards[entry.shards].read(entry.row).record

    def read(self, number: int) -> Sample:
        """Return a sample by its number; ArtifactInvalid names a sample whose file has changed since."""
        entry = self.entries[number]
        sample = self.shards[entry.shards].read(entry.row)
        if self.pictures is None or entry.key not in self.pictures:
            return sample
        shards, row = self.pictures[entry.key]
        return _with_images_of(shards.read(row), sample)

    def only(self, entries: Sequence[Entry]) -> Self:
        """Return a pool of some of the samples, which knows what was left out so far."""
        with self._lock:
            left_out = Counter(self.left_out)
        return replace(self, entries=tuple(entries), left_out=left_out, _lock=threading.Lock())

    def leave_out(self, reason: str) -> None:
        """Count a sample that could not be used."""
        with self._lock:
            self.left_out[reason] += 1

    @property
    def digest(self) -> str:
        """Return a digest of the samples and their content: a resumed run notices other data."""
        lines = [f"{self.shards[e.shards].manifest.digest} {e.key}" for e in self.entries]
        lines += sorted({one.manifest.digest for one, _ in (self.pictures or {}).values()})
        return hashlib.sha256("\n".join([f"{self.share} {self.weight}", *lines]).encode()).hexdigest()

    def report(self) -> dict[str, Any]:
        """Return what the pool holds and what was left out, for the log of a run."""
        rows = [entry.row for entry in self.entries]
        elements = {name: sum(row[name] for row in rows) for name in CLASS_TYPE}
        with self._lock:
            left_out = dict(self.left_out)
        return {
            "samples": len(rows),
            "drives": len({entry.drive for entry in self.entries}),
            "places": len({entry.place for entry in self.entries}),
            "coverage": round(sum(row["coverage"] for row in rows) / max(1, len(rows)), 4),
            "elements": elements,
            "without_elements": sum(not any(row[name] for name in CLASS_TYPE) for row in rows),
            "left_out": left_out,
        }


def _with_images_of(other: Sample, sample: Sample) -> Sample:
    """Return `sample` with the images of another one of its keyframe."""
    # Poses and mounts are those of the labels; K belongs to the size of the images.
    sizes, own = ({c["name"]: {k: c[k] for k in _SIZES} for c in one.record["cameras"]} for one in (other, sample))
    cameras = [camera | sizes.get(camera["name"], {}) for camera in sample.record["cameras"]]
    # Class ids and depth are of pixels: the labels' own ones serve only where the lent images have the same.
    same = {member_name(name) for name, size in sizes.items() if own.get(name) == size}
    ids, depth = ({name: data for name, data in of.items() if name in same} for of in (sample.ids, sample.depth))
    unit_m = (other if other.depth else sample).record.get("depth_unit_m", 0.0)
    return replace(
        other,
        key=sample.key,
        record=sample.record | {"cameras": cameras, "depth_unit_m": unit_m},
        known=sample.known,
        ids=other.ids or ids,
        depth=other.depth or depth,
        observed=other.known if other.known.shape == sample.known.shape else None,
    )


def shard_folders(folder: Path) -> list[Path]:
    """Return the folders of shards in or below a folder, sorted; ConfigInvalid if there is none."""
    found = sorted(path.parent for path in folder.rglob("index.parquet") if (path.parent / MANIFEST).is_file())
    # What a job keeps of its stages lies in a hidden folder, and is published beside it.
    found = [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not found:
        raise ConfigInvalid("the folder holds no shards", where=str(folder), hint="Name shards/ of a result, or above.")
    return found


def _opened(folders: Sequence[Path], split: str, *, verify: bool) -> tuple[ShardSet, ...]:
    found: list[ShardSet] = []
    for folder in folders:
        if is_snapshot(folder):
            found += split_shards(folder, split, verify=verify)
        else:
            found += [read_shard(path, verify=verify) for path in shard_folders(folder)]
    return tuple(found)


def _check_fit(one: ShardSet, config: ModelShape) -> None:
    meta, where = one.manifest.meta, str(one.folder)
    size = (float(meta["length_m"]), float(meta["width_m"]))
    if max(abs(size[0] - config.patch.length_m), abs(size[1] - config.patch.width_m)) > SAME_M:
        model = f"{config.patch.length_m:g} x {config.patch.width_m:g} m"
        hint = "Set model.patch, or label with crop.length_m and crop.width_m of the model."
        message = f"the labels' patch is {size[0]:g} x {size[1]:g} m, the model's {model}"
        raise ConfigInvalid(message, where=where, hint=hint)


def _index(one: ShardSet, *, images: bool) -> list[dict[str, Any]]:
    """Return the rows of the index; ConfigInvalid where images are needed and not there."""
    rows = one.index()
    if images and not one.manifest.meta["with_images"]:
        hint = "Pack with pack.with_images=true, or name shards of the same keyframes that have them."
        raise ConfigInvalid("the shards hold no images", where=str(one.folder), hint=hint)
    needed = {"key", "shard", "offset", "size", "place", "coverage", *CLASS_TYPE}
    if rows and not needed <= rows[0].keys():
        missing = ", ".join(sorted(needed - rows[0].keys()))
        raise ArtifactInvalid(f"the index lacks {missing}", where=str(one.folder), hint="Pack the labels again.")
    return rows


def refuse_mixed(shards: Sequence[ShardSet]) -> None:
    """Raise ConfigInvalid where known masks have cells of different sizes: a batch could not hold both."""
    cells_m = [one.manifest.meta["mask_cell_m"] for one in shards]
    odd = next((one.folder for one, cell_m in zip(shards, cells_m, strict=True) if cell_m != cells_m[0]), None)
    if odd is not None:
        hint = "Label all drives with one crop.mask_cell_m."
        where = f"{shards[0].folder} and {odd}"
        raise ConfigInvalid("the known masks have cells of different sizes", where=where, hint=hint)


def _refuse_twice(entries: Sequence[Entry], shards: Sequence[ShardSet]) -> None:
    first: dict[str, Entry] = {}
    for entry in entries:
        other = first.setdefault(entry.key, entry)
        if other is not entry:
            where = f"{shards[other.shards].folder} and {shards[entry.shards].folder}"
            hint = "Name each folder once; labels of one drive from two jobs belong to two sources."
            raise ConfigInvalid(f"the sample {entry.key} is there twice", where=where, hint=hint)
