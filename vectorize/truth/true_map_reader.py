"""Reads `true_map.json`, the true map that the demo city writes with its drives."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np

from recon.errors import InputInvalid
from vectorize.road_map import Element, ElementClass, RoadMap, Style
from vectorize.truth.json_object import read_json_object
from vectorize.truth.truth_elements import fully_seen

FORMAT, VERSION = "roadscribe-true-map", 1


def read_true_map(path: Path) -> RoadMap:
    """Read a true map; raises InputInvalid naming the file and the faulty element."""
    hint = f"Expected a JSON file of format {FORMAT}, version {VERSION}."
    body = read_json_object(path, what="the true map", hint=hint)
    if body.get("format") != FORMAT or body.get("version") != VERSION:
        raise InputInvalid("the file is not a true map of a known version", where=str(path), hint=hint)
    entries = body.get("elements")
    if not isinstance(entries, list):
        raise InputInvalid("the true map has no list of elements", where=str(path), hint=hint)
    return RoadMap(elements=tuple(_element(entry, f"{path}: element {i}") for i, entry in enumerate(entries)))


def _element(entry: Any, where: str) -> Element:
    try:
        element_class, style = entry["class"], entry.get("style", "unknown")
        if element_class not in get_args(ElementClass) or style not in get_args(Style):
            raise ValueError(f"class {element_class!r} or style {style!r} is unknown")
        vertices = np.array(entry["vertices"], dtype=np.float64)
        if not np.isfinite(vertices).all():
            raise ValueError("a coordinate is not finite")
        return fully_seen(element_class, vertices, style=style, closed=bool(entry.get("closed", False)))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputInvalid(f"the element is faulty: {error}", where=where) from error
