"""The comparison of labels and truth on one area (full range or observed), and its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vectorize.evaluate.config import CLASSES, MEAN_CLASSES, STYLES, EvaluateConfig
from vectorize.evaluate.metrics.class_record import class_record
from vectorize.evaluate.metrics.extent import Extent, extent, size_of, total
from vectorize.evaluate.metrics.frechet import FrechetBatch
from vectorize.evaluate.metrics.pairing import ElementCache, Pairs, pair
from vectorize.evaluate.metrics.style_metres import StyleMetres, style_metres, style_record
from vectorize.evaluate.metrics.whole_lines import whole_lines
from vectorize.road_map import Element, ElementClass


@dataclass(slots=True)
class Scope:
    """All pairs compared so far on one area (full range or observed), per class."""

    pairs: dict[ElementClass, list[Pairs]] = field(default_factory=lambda: {name: [] for name in CLASSES})
    extents: dict[ElementClass, list[Extent]] = field(default_factory=lambda: {name: [] for name in CLASSES})
    style_metres: list[StyleMetres] = field(default_factory=list)  # of dividers

    def add(
        self,
        predicted: Sequence[Element],
        true: Sequence[Element],
        config: EvaluateConfig,
        batch: FrechetBatch,
        cache: ElementCache,
        *,
        before: tuple[Scope, Sequence[Element], Sequence[Element]] | None = None,
    ) -> None:
        """Compare the elements of one patch or site, class by class.

        `before` is the last comparison of another scope: a class that clipping did not change keeps its result.
        """
        for name in CLASSES:
            ours, theirs = of_class(predicted, name), of_class(true, name)
            if before is not None:
                scope, *sides = before
                last = [of_class(side, name) for side in sides]
                if _same(ours, last[0]) and _same(theirs, last[1]):
                    self.pairs[name].append(scope.pairs[name][-1])
                    self.extents[name].append(scope.extents[name][-1])
                    continue
            # Joined here, after clipping: metres and styles below are those of the stretches.
            joins = config.join_styles and name == "divider"
            found, wanted = (whole_lines(side) if joins else side for side in (ours, theirs))
            self.pairs[name].append(pair(found, wanted, config, batch, cache=cache))
            self.extents[name].append(extent(ours, theirs, config))
        lines, true_lines = (of_class(side, "divider") for side in (predicted, true))
        self.style_metres.append(style_metres(lines, true_lines, config.thresholds_m[0], config.step_m))

    def extend(self, other: Scope) -> None:
        """Append what another process compared."""
        for name in CLASSES:
            self.pairs[name] += other.pairs[name]
            self.extents[name] += other.extents[name]
        self.style_metres += other.style_metres

    def record(self, config: EvaluateConfig) -> dict[str, Any]:
        """Return mAP, the metrics of every class and divider style, and how many metres have the right style."""
        classes = {name: class_record(name, self.pairs[name], self.extents[name], config) for name in CLASSES}
        styles = {}
        for style in STYLES:
            part = [p.of_style(style) for p in self.pairs["divider"]]
            if any(p.chamfer.size or len(p.scores) or p.chamfer.shape[1] for p in part):
                styles[style] = class_record(f"{style} divider", part, None, config)
        return {
            "mean": {kind: _mean(classes, kind) for kind in ("chamfer", "frechet", "raster")},
            "classes": classes,
            "styles": styles,
            "style_accuracy": style_record(self.style_metres, config.thresholds_m[0]),
        }


def of_class(elements: Sequence[Element], name: ElementClass) -> list[Element]:
    """Return the elements of one class."""
    return [e for e in elements if e.element_class == name]


def _same(side: Sequence[Element], other: Sequence[Element]) -> bool:
    return len(side) == len(other) and all(a is b for a, b in zip(side, other, strict=True))


def _mean(classes: dict[ElementClass, dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return mAP over the published classes that have truth, and the names of these classes."""
    present = [name for name in MEAN_CLASSES if classes[name][kind]["ap"] is not None]
    value = round(float(np.mean([classes[name][kind]["ap"] for name in present])), 4) if present else None
    return {"map": value, "over": present}


class Coverage:
    """How much of the truth lies in the observed area."""

    def __init__(self) -> None:
        self.true: dict[ElementClass, list[float]] = {name: [] for name in CLASSES}
        self.observed: dict[ElementClass, list[float]] = {name: [] for name in CLASSES}

    def add(self, true: Sequence[Element], observed: Sequence[Element]) -> None:
        """Add the truth of one patch or site, whole and clipped."""
        for name in CLASSES:
            self.true[name].append(size_of(of_class(true, name)))
            self.observed[name].append(size_of(of_class(observed, name)))

    def extend(self, other: Coverage) -> None:
        """Append what another process measured."""
        for name in CLASSES:
            self.true[name] += other.true[name]
            self.observed[name] += other.observed[name]

    def record(self, observed: Scope, config: EvaluateConfig) -> dict[str, Any]:
        """Return per class: true size, its observed share, and the found share of that at each threshold."""
        body = {}
        for name in CLASSES:
            sizes = total(observed.extents[name], config)
            true, seen = sum(self.true[name]), sum(self.observed[name])
            body[name] = {
                "unit": "m2" if name == "ped_crossing" else "m",
                "true": round(true, 2),
                "observed": round(min(1.0, seen / true), 4) if true else None,
                "found_of_observed_at": [
                    round(float(found) / sizes.true, 4) if sizes.true else None for found in sizes.found
                ],
                "why": "" if true else f"there is no true {name} here",
            }
        return {"classes": body}
