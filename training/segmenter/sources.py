"""Where images and their ids come from: one small protocol, three layouts.

- Mapillary Vistas as it is downloaded: `training/images` and `training/v2.0/labels` (or `v1.2`), ids as grey or
  palette PNGs; the folder `training` or `validation` may be given, or their parent (then `training`).
- A drive folder whose `drive.json` names id images.
- Plain folders `images/` and `ids/` whose files have the same stems; ids are RoadClass.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from recon.arrays import U8
from recon.classes import ClassMap
from recon.errors import DriveInvalid, ImageInvalid
from recon.formats.drive_folder import drive_folder
from recon.formats.drive_problems import Problems
from recon.segment.net_spec import class_map_path
from recon.sensors.image_file import decode_gray, decode_ids, decode_rgb, image_size

IGNORED = 255  # pixels that enter neither loss nor score
CONDITIONS = ("day", "dusk", "night", "wet", "rain", "snow")
_IMAGES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingImage:
    """One image with its ids."""

    image: Path
    ids: Path
    condition: str  # light or weather in the name of the source; "" where it states none


class Source(Protocol):
    """A folder of images with ids."""

    @property
    def name(self) -> str:
        """Return what the source is called in reports."""

    @property
    def images(self) -> tuple[TrainingImage, ...]:
        """Return all images with ids, in a fixed order."""

    def read(self, item: TrainingImage) -> tuple[U8, U8]:
        """Return RGB (H, W, 3) and RoadClass ids or IGNORED (H, W); ImageInvalid names a damaged file."""

    def read_ids(self, item: TrainingImage) -> U8:
        """Return the ids alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadIds:
    """Images whose ids are RoadClass already: drives and plain folders."""

    name: str
    images: tuple[TrainingImage, ...]

    def read(self, item: TrainingImage) -> tuple[U8, U8]:
        """Return RGB and ids."""
        rgb = _rgb(item.image)
        return rgb, self._ids(item, (rgb.shape[1], rgb.shape[0]))

    def read_ids(self, item: TrainingImage) -> U8:
        """Return ids."""
        return self._ids(item, None)

    def _ids(self, item: TrainingImage, size_px: tuple[int, int] | None) -> U8:
        data = _bytes(item.ids)
        width, height = size_px or image_size(data, where=str(item.ids))
        return decode_ids(data, width_px=width, height_px=height, where=str(item.ids))


@dataclass(frozen=True, slots=True, kw_only=True)
class Vistas:
    """Mapillary Vistas, its ids mapped by the shipped class map."""

    name: str
    images: tuple[TrainingImage, ...]
    class_map: str

    def read(self, item: TrainingImage) -> tuple[U8, U8]:
        """Return RGB and mapped ids."""
        rgb, data = _rgb(item.image), _bytes(item.ids)
        if image_size(data, where=str(item.ids)) != (rgb.shape[1], rgb.shape[0]):
            raise ImageInvalid("ids and image differ in size", where=str(item.ids), hint="Download them again.")
        return rgb, id_table(self.class_map)[_palette_indices(data, item.ids)]

    def read_ids(self, item: TrainingImage) -> U8:
        """Return mapped ids."""
        return id_table(self.class_map)[_palette_indices(_bytes(item.ids), item.ids)]


def id_table(class_map: str) -> U8:
    """Return (256,) RoadClass of a model id, IGNORED for what nobody labelled."""
    path = class_map_path(class_map)
    known = ClassMap.load(path)
    table = np.full(256, IGNORED, dtype=np.uint8)
    table[: len(known.targets)] = [int(target) for target in known.targets]
    table[json.loads(path.read_text(encoding="utf-8")).get("unlabeled_ids", [])] = IGNORED
    return table


def open_source(folder: Path) -> Source:
    """Return the source in `folder`; DriveInvalid where it has none of the layouts or no image."""
    source: Source
    if (folder / "drive.json").is_file():
        source = _drive(folder)
    elif (folder / "training" / "images").is_dir():
        source = _vistas(folder / "training")
    elif (folder / "images").is_dir() and any((folder / version / "labels").is_dir() for version in _VERSIONS):
        source = _vistas(folder)
    elif (folder / "images").is_dir() and (folder / "ids").is_dir():
        images = _paired(folder / "images", folder / "ids", condition_of(folder.name))
        source = RoadIds(name=folder.name, images=images)
    else:
        hint = "Give a drive folder with id images, Mapillary Vistas, or a folder with images/ and ids/."
        raise DriveInvalid("no images with ids are here", where=str(folder), hint=hint)
    if not source.images:
        raise DriveInvalid("no image has ids", where=str(folder), hint="Name them in drive.json, or pair the stems.")
    return source


def condition_of(name: str) -> str:
    """Return the word for light or weather in a name, such as "night" in city-3-night; "" if there is none."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((condition for condition in CONDITIONS if condition in words), "")


def digest_of(sources: list[Source]) -> str:
    """Return a digest of the names and sizes of all files: enough to notice that a resumed run has other data."""
    lines = [f"{s.name} {item.image.name} {item.image.stat().st_size}" for s in sources for item in s.images]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _drive(folder: Path) -> RoadIds:
    parsed = drive_folder.parse(folder, Problems(strict=True))
    if parsed is None:
        raise DriveInvalid(where=str(folder))
    named = [image for _, _, image in parsed.drive.images() if image.id_path]
    condition = condition_of(folder.name) or condition_of(parsed.drive.name)
    images = (TrainingImage(image=folder / i.path, ids=folder / i.id_path, condition=condition) for i in named)
    return RoadIds(name=parsed.drive.name, images=tuple(images))


_VERSIONS = {"v2.0": "mapillary_vistas_v2_0", "v1.2": "mapillary_vistas_v1_2"}


def _vistas(folder: Path) -> Vistas:
    for version, class_map in _VERSIONS.items():
        if (folder / version / "labels").is_dir():
            images = _paired(folder / "images", folder / version / "labels", "")
            return Vistas(name=f"vistas {version} {folder.name}", images=images, class_map=class_map)
    hint = "Expected: v2.0/labels or v1.2/labels beside images."
    raise DriveInvalid("the folder holds no label images", where=str(folder), hint=hint)


def _paired(images: Path, ids: Path, condition: str) -> tuple[TrainingImage, ...]:
    by_stem = {path.stem: path for path in ids.glob("*.png")}
    found = sorted(path for path in images.iterdir() if path.suffix.lower() in _IMAGES and path.stem in by_stem)
    return tuple(TrainingImage(image=path, ids=by_stem[path.stem], condition=condition) for path in found)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageInvalid(f"the file cannot be read: {error.strerror}", where=str(path)) from error


def _rgb(path: Path) -> U8:
    data = _bytes(path)
    width, height = image_size(data, where=str(path))
    return decode_rgb(data, width_px=width, height_px=height, where=str(path))


def _palette_indices(data: bytes, path: Path) -> U8:
    """Return the stored numbers of a PNG: OpenCV gives a palette's colours, so the PNG is made a grey one first."""
    chunks, at = [data[:8]], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"IHDR":
            depth, color = body[8], body[9]
            if depth != 8 or color not in (0, 3):
                hint = "Ids are 8-bit grey or palette PNGs; the instance and panoptic images carry other numbers."
                raise ImageInvalid(f"the ids are a PNG of colour type {color}", where=str(path), hint=hint)
            body = body[:9] + b"\x00" + body[10:]
        if kind not in (b"PLTE", b"tRNS"):
            check = zlib.crc32(kind + body).to_bytes(4, "big")
            chunks += [len(body).to_bytes(4, "big"), kind, body, check]
    gray = b"".join(chunks)
    width, height = image_size(gray, where=str(path))
    return decode_gray(gray, width_px=width, height_px=height, where=str(path))
