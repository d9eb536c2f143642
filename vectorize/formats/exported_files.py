"""The result of an exporter: files by name, and notes on what the format could not hold of this map."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from recon.errors import ConfigInvalid
from recon.geo_origin import GeoOrigin
from vectorize.road_map import RoadMap


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFiles:
    """The files of one export, in memory; the caller writes them."""

    files: dict[str, bytes]  # file name -> content
    notes: tuple[str, ...] = ()  # left out or split in this map; `LOSES` lists what the format never holds


def json_bytes(body: Any) -> bytes:
    """Return the JSON of exporters: one line, no NaN, the same bytes for the same body."""
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def origin_of(road_map: RoadMap, format_name: str) -> GeoOrigin:
    """Return the origin of the map on Earth; raises ConfigInvalid if it is unknown."""
    if road_map.origin is None:
        hint = "Give the origin: --origin LAT,LON[,ALT] in degrees and metres above the ellipsoid."
        raise ConfigInvalid(f"{format_name} stores places on Earth, and the drive has no origin", hint=hint)
    return road_map.origin


def missing_package(package: str, format_name: str) -> ConfigInvalid:
    """Return the error of a format whose optional library is not installed."""
    return ConfigInvalid(f"{format_name} needs the package {package}", hint="pip install 'roadscribe[geo]'")
