"""The evaluation of patches: one record of everything measured, on the full range and on the observed area."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recon.progress import Tick, silent
from vectorize.evaluate.clip import clip
from vectorize.evaluate.config import CLASSES, MEAN_CLASSES, STYLES, EvaluateConfig
from vectorize.evaluate.extent import Extent, extent, size_of, total
from vectorize.evaluate.frechet import FrechetBatch
from vectorize.evaluate.matching import nearest_match
from vectorize.evaluate.pairing import Pairs, Views, pair
from vectorize.evaluate.patch import Patch
from vectorize.evaluate.shape import crosses_itself
from vectorize.evaluate.tally import class_record, style_confusion
from vectorize.road_map import Element, ElementClass


@dataclass(slots=True)
class Scope:
    """What was compared so far on the full range or on the observed area, per class."""

    pairs: dict[ElementClass, list[Pairs]] = field(default_factory=lambda: {name: [] for name in CLASSES})
    extents: dict[ElementClass, list[Extent]] = field(default_factory=lambda: {name: [] for name in CLASSES})

    def add(
        self,
        predicted: Sequence[Element],
        true: Sequence[Element],
        config: EvaluateConfig,
        batch: FrechetBatch,
        views: Views,
    ) -> None:
        """Compare the elements of one patch or site, class by class."""
        for name in CLASSES:
            ours, theirs = of_class(predicted, name), of_class(true, name)
            self.pairs[name].append(pair(ours, theirs, config, batch, views=views))
            self.extents[name].append(extent(ours, theirs, config))

    def record(self, config: EvaluateConfig) -> dict[str, Any]:
        """Return mAP, every class, every style of dividers, and which styles were taken for which."""
        classes = {name: class_record(name, self.pairs[name], self.extents[name], config) for name in CLASSES}
        styles = {}
        for style in STYLES:
            part = [p.of_style(style) for p in self.pairs["divider"]]
            if any(p.chamfer.size or len(p.scores) or p.chamfer.shape[1] for p in part):
                styles[style] = class_record(f"{style} divider", part, None, config)
        middle = config.thresholds_m[len(config.thresholds_m) // 2]
        return {
            "mean": {kind: _mean(classes, kind) for kind in ("chamfer", "frechet", "raster")},
            "classes": classes,
            "styles": styles,
            "style_confusion": {"threshold_m": middle, "true": style_confusion(self.pairs["divider"], middle)},
        }


def of_class(elements: Sequence[Element], name: ElementClass) -> list[Element]:
    """Return the elements of one class."""
    return [e for e in elements if e.element_class == name]


def _mean(classes: dict[ElementClass, dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return mAP over the published classes that have truth, and which those are."""
    present = [name for name in MEAN_CLASSES if classes[name][kind]["ap"] is not None]
    value = round(float(np.mean([classes[name][kind]["ap"] for name in present])), 4) if present else None
    return {"map": value, "over": present}


def evaluate_patches(
    patches: Iterable[Patch], config: EvaluateConfig | None = None, tick: Tick = silent, *, count: int = 0
) -> dict[str, Any]:
    """Return the record of patches: `full_range`, `observed`, `coverage`, one row per patch, and `notes`.

    A patch of which nothing was seen is no fault: it takes part in the full range, has nothing in the observed area,
    and is counted in the notes. `count` (if known) is for progress only.
    """
    config = config or EvaluateConfig()
    full, observed = Scope(), Scope()
    batch = FrechetBatch(config)
    sizes = Coverage()
    rows: list[dict[str, Any]] = []
    crossed = 0
    for done, patch in enumerate(patches, start=1):
        crossed += sum(crosses_itself(e) for e in (*patch.true, *patch.predicted))
        views = Views(config, patch.size_m)
        full.add(patch.predicted, patch.true, config, batch, views)
        ours, theirs = (clip(e, patch.region, join_gap_m=config.join_gap_m) for e in (patch.predicted, patch.true))
        observed.add(ours, theirs, config, batch, views)
        sizes.add(patch.true, theirs)
        rows.append({"name": patch.name, "known": round(float(patch.region.known.mean()), 4), **_row(observed, config)})
        tick(done, max(count, done), "patches")
    batch.solve()
    unseen = sum(row["known"] == 0 for row in rows)
    notes = []
    if not rows:
        notes.append("there are no patches: nothing was measured")
    if unseen:
        notes.append(f"{unseen} of {len(rows)} patches hold nothing that was seen: their observed area is empty")
    if crossed:
        notes.append(f"{crossed} polygons cross themselves: their area is that of their valid parts")
    known = [row["known"] for row in rows]
    return {
        "patches": len(rows),
        "thresholds_m": list(config.thresholds_m),
        "coverage": {"area": round(float(np.mean(known)), 4) if rows else None, **sizes.record(observed, config)},
        "full_range": full.record(config),
        "observed": observed.record(config),
        "rows": rows,
        "notes": notes,
    }


def _row(scope: Scope, config: EvaluateConfig) -> dict[str, Any]:
    """Return found, missed and false elements of the patch that was added last, over the published classes."""
    middle = config.thresholds_m[len(config.thresholds_m) // 2]
    found = true = predicted = 0
    for name in MEAN_CLASSES:
        last = scope.pairs[name][-1]
        found += int((nearest_match(last.chamfer, last.scores, middle) >= 0).sum())
        true, predicted = true + last.chamfer.shape[1], predicted + len(last.scores)
    f1 = round(2 * found / (true + predicted), 4) if true + predicted else None
    return {"found": found, "missed": true - found, "false": predicted - found, "f1": f1}


class Coverage:
    """How much of the truth lies in the observed area."""

    def __init__(self) -> None:
        self.true = dict.fromkeys(CLASSES, 0.0)
        self.observed = dict.fromkeys(CLASSES, 0.0)

    def add(self, true: Sequence[Element], observed: Sequence[Element]) -> None:
        """Add the truth of one patch or site, whole and clipped."""
        for name in CLASSES:
            self.true[name] += size_of(of_class(true, name))
            self.observed[name] += size_of(of_class(observed, name))

    def record(self, observed: Scope, config: EvaluateConfig) -> dict[str, Any]:
        """Return per class: true size, share observed, and share of the observed that was found at each threshold."""
        body = {}
        for name in CLASSES:
            sizes = total(observed.extents[name], config)
            true = self.true[name]
            body[name] = {
                "unit": "m2" if name == "ped_crossing" else "m",
                "true": round(true, 2),
                "observed": round(min(1.0, self.observed[name] / true), 4) if true else None,
                "found_of_observed_at": [
                    round(float(found) / sizes.true, 4) if sizes.true else None for found in sizes.found
                ],
                "why": "" if true else f"there is no true {name} here",
            }
        return {"classes": body}
