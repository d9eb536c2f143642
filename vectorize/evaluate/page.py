"""The record of an evaluation as one self-contained HTML page: no script, no font, no other file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from vectorize.evaluate.match_pictures import BEYOND_RGB, FALSE_RGB, FOUND_RGB, MISSED_RGB
from vectorize.evaluate.paint_check import remarks

TEMPLATE = Path(__file__).with_name("page.html")


def page(record: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """Return the HTML of `evaluate_result`'s record and pictures."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"share": _share, "number": _number, "colour": _colour}
    images = {name: base64.b64encode(data).decode("ascii") for name, data in pictures.items()}
    rows = {row["name"]: row for row in record["patches"]["rows"]} if record["patches"] else {}
    colours = {"found": FOUND_RGB, "missed": MISSED_RGB, "false": FALSE_RGB, "beyond": BEYOND_RGB}
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    check = (record["reprojection"] or {}).get("check")
    said = remarks(check) if check else []
    return template.render(
        record=record, images=images, rows=rows, colours=colours, scopes=_scopes(record), remarks=said
    )


def _scopes(record: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return (title, explanation, figures) of each comparison, the most informative first."""
    found = []
    for key, where in (("patches", "Patches"), ("site", "Site")):
        part = record[key]
        if part is None:
            continue
        note = "The labels of each keyframe" if key == "patches" else "The whole map, each piece of ground once"
        if part["observed"] is not None:
            found.append(
                (
                    f"{where}, observed area",
                    f"{note}; truth and labels are clipped to the observed area",
                    part["observed"],
                )
            )
        found.append((f"{where}, full range", f"{note}; truth that no camera saw counts as missed", part["full_range"]))
    return found


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _colour(rgb: tuple[int, int, int]) -> str:
    return f"rgb({rgb[0]} {rgb[1]} {rgb[2]})"
