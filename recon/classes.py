"""The classes of a road raster, and how the classes of a segmentation model map to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Self

import numpy as np

from recon.arrays import F32, U8
from recon.errors import ModelInvalid

CLASS_MAP_FOLDER = Path(__file__).parent / "class_maps"


class RoadClass(IntEnum):
    """Classes of a road raster; the value is the id in images and the channel in probability rasters."""

    UNKNOWN = 0  # unseen, dynamic, ego body
    ROAD = 1
    LANE_MARKING = 2
    CROSSWALK = 3
    CURB = 4
    OFF_ROAD = 5  # sidewalk, terrain, median, island
    BACKGROUND = 6  # buildings, sky, vegetation above ground
    STOP_LINE = 7
    OTHER_MARKING = 8  # arrows, text, hatching


CLASS_COUNT = len(RoadClass)

# Classes that lie on the drivable surface: paint is part of the road it is painted on.
DRIVABLE = (
    RoadClass.ROAD,
    RoadClass.LANE_MARKING,
    RoadClass.CROSSWALK,
    RoadClass.STOP_LINE,
    RoadClass.OTHER_MARKING,
)

# Classes whose colour and height belong to the ground; BACKGROUND rises above it.
GROUND = (*DRIVABLE, RoadClass.CURB, RoadClass.OFF_ROAD)

COLORS_RGB: U8 = np.array(
    [
        (0, 0, 0),
        (86, 88, 94),
        (250, 250, 250),
        (86, 156, 255),
        (235, 94, 52),
        (96, 140, 84),
        (38, 40, 46),
        (255, 196, 0),
        (196, 120, 220),
    ],
    dtype=np.uint8,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMap:
    """From the class ids of a segmentation model to RoadClass, read from a versioned JSON data file."""

    name: str
    version: int
    names: tuple[str, ...]  # model class names, index = model id
    targets: tuple[RoadClass, ...]  # same length
    dynamic: tuple[int, ...] = ()  # model ids that move: dilated before they become UNKNOWN

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a class map; raises ModelInvalid naming the file and the faulty entry."""
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
            classes = body["classes"]
            names = tuple(str(entry["name"]) for entry in classes)
            targets = tuple(RoadClass[entry["road_class"]] for entry in classes)
            dynamic = tuple(i for i, entry in enumerate(classes) if entry.get("dynamic", False))
            return cls(name=body["name"], version=int(body["version"]), names=names, targets=targets, dynamic=dynamic)
        except FileNotFoundError as error:
            raise ModelInvalid("the class map does not exist", where=str(path)) from error
        except KeyError as error:
            hint = f"A road_class is one of {', '.join(c.name for c in RoadClass)}."
            raise ModelInvalid(
                f"the class map has no entry {error}, or {error} is not a road class", where=str(path), hint=hint
            ) from error
        except (ValueError, TypeError) as error:
            raise ModelInvalid(f"the class map does not parse: {error}", where=str(path)) from error

    def fold(self, probability: F32) -> F32:
        """Sum model probabilities (M, H, W) into road class probabilities (CLASS_COUNT, H, W)."""
        if probability.shape[0] != len(self.targets):
            message = (
                f"the model returns {probability.shape[0]} classes, the class map {self.name} has {len(self.targets)}"
            )
            raise ModelInvalid(message, hint="Use the class map that belongs to these weights.")
        folded = np.zeros((CLASS_COUNT, *probability.shape[1:]), dtype=np.float32)
        for model_id, target in enumerate(self.targets):
            folded[target] += probability[model_id]
        return folded
