"""The evaluation of patches: one record of everything measured, on the full range and on the observed area."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Any

import numpy as np

from recon.prefetch import prefetch
from recon.progress import Tick, silent
from vectorize.evaluate.clip import clip
from vectorize.evaluate.config import MEAN_CLASSES, EvaluateConfig
from vectorize.evaluate.metrics.areas import crosses_itself
from vectorize.evaluate.metrics.frechet import FrechetBatch
from vectorize.evaluate.metrics.matching import nearest_match
from vectorize.evaluate.metrics.pairing import ElementCache
from vectorize.evaluate.patch import Patch
from vectorize.evaluate.scope import Coverage, Scope

CHUNK = 50  # patches that a process takes at a time: 4 MB of masks


@dataclass(slots=True)
class Comparison:
    """The comparison of the patches so far."""

    full: Scope = field(default_factory=Scope)
    observed: Scope = field(default_factory=Scope)
    sizes: Coverage = field(default_factory=Coverage)
    rows: list[dict[str, Any]] = field(default_factory=list)
    unseen: int = 0
    crossed: int = 0

    def add(self, patch: Patch, config: EvaluateConfig, batch: FrechetBatch) -> None:
        """Compare one patch."""
        self.crossed += sum(crosses_itself(e) for e in (*patch.true, *patch.predicted))
        self.unseen += not patch.region.known.any()
        cache = ElementCache(config, patch.size_m)
        self.full.add(patch.predicted, patch.true, config, batch, cache)
        ours, theirs = (clip(e, patch.region, join_gap_m=config.join_gap_m) for e in (patch.predicted, patch.true))
        self.observed.add(ours, theirs, config, batch, cache, before=(self.full, patch.predicted, patch.true))
        self.sizes.add(patch.true, theirs)
        known = round(float(patch.region.known.mean()), 4)
        self.rows.append({"name": patch.name, "known": known, **_row(self.observed, config)})

    def extend(self, other: Comparison) -> None:
        """Append the patches that another process compared."""
        self.full.extend(other.full)
        self.observed.extend(other.observed)
        self.sizes.extend(other.sizes)
        self.rows += other.rows
        self.unseen += other.unseen
        self.crossed += other.crossed


def compare(patches: Iterable[Patch], config: EvaluateConfig) -> Comparison:
    """Compare patches in this process."""
    result, batch = Comparison(), FrechetBatch(config)
    for patch in patches:
        result.add(patch, config, batch)
    batch.solve()
    return result


def evaluate_patches(
    patches: Iterable[Patch],
    config: EvaluateConfig | None = None,
    tick: Tick = silent,
    *,
    count: int = 0,
    processes: int = 1,
) -> dict[str, Any]:
    """Return the record of patches: `full_range`, `observed`, `coverage`, one row per patch, and `notes`.

    A patch without any known cell is not an error: it counts in the full range, has an empty observed area and is
    counted in the notes. `count` (if known) is for progress only. The record does not depend on `processes`.
    """
    config = config or EvaluateConfig()
    done = Comparison()
    for part in _parts(iter(patches), config, processes):
        done.extend(part)
        tick(len(done.rows), max(count, len(done.rows)), "patches")
    rows = done.rows
    notes = []
    if not rows:
        notes.append("there are no patches, so nothing was measured")
    if done.unseen:
        notes.append(f"{done.unseen} of {len(rows)} patches have an empty observed area: nothing in them was seen")
    if done.crossed:
        notes.append(f"{done.crossed} polygons cross themselves: their area is that of their valid parts")
    area = round(float(np.mean([row["known"] for row in rows])), 4) if rows else None
    return {
        "patches": len(rows),
        "thresholds_m": list(config.thresholds_m),
        "coverage": {"area": area, **done.sizes.record(done.observed, config)},
        "full_range": done.full.record(config),
        "observed": done.observed.record(config),
        "rows": rows,
        "notes": notes,
    }


def _parts(patches: Iterator[Patch], config: EvaluateConfig, processes: int) -> Iterator[Comparison]:
    """Yield the comparisons of chunks in their order, at most two chunks per process ahead."""
    calls = (partial(compare, chunk, config) for chunk in iter(lambda: list(islice(patches, CHUNK)), []))
    workers = processes if processes > 1 else 0
    return prefetch(calls, workers=workers, ahead=2 * processes, pool=_spawned)


def _spawned(processes: int) -> Executor:
    # Not forked: the caller may hold threads, and a child must not inherit their locks.
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn"))


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
