"""What an exporter leaves: files by name, and what this very map could not be said in the format."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from recon.errors import ConfigInvalid
from recon.geo_origin import GeoOrigin
from vectorize.road_map import RoadMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The result of an exporter, in memory: whoever calls it decides where the bytes go."""

    files: dict[str, bytes]  # file name -> content
    notes: tuple[str, ...] = ()  # what was left out or split in this map; what the format never holds is its `LOSES`


def json_bytes(body: Any) -> bytes:
    """Return the JSON that every exporter writes: one line, no NaN, the same bytes for the same body."""
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def origin_of(road_map: RoadMap, format_name: str) -> GeoOrigin:
    """Return where the map lies on Earth; raises ConfigInvalid where nobody said so."""
    if road_map.origin is None:
        hint = "Say where its zero lies: --origin LAT,LON[,ALT] in degrees and metres above the ellipsoid."
        raise ConfigInvalid(f"{format_name} holds places on Earth, and the drive states no origin", hint=hint)
    return road_map.origin


def missing_package(package: str, format_name: str) -> ConfigInvalid:
    """Return the error of a format whose library is an extra that is not installed."""
    return ConfigInvalid(f"{format_name} needs the package {package}", hint="pip install 'roadscribe[geo]'")
