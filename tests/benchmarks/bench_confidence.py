"""Fit the curves from evidence to confidence (`vectorize/trace/confidence.py`): `make confidence`.

The drives use streets of the demo city that no other figure uses: by day, at dusk, at night, wet, without LiDAR and
with noisy poses (0.3 m, 0.5 degrees). Most are labelled with the shipped net, one with true id images. Their rasters
are traced with every curve of a grid. For each class the curve is printed whose confidence has the least mean square
error over all metres. Of curves within EQUAL of the least error the lowest is taken, since drives without errors would
otherwise give certainty. A class with few metres gets no steep curve. The table gives the expected calibration error of
every drive and class, with the curves in use and with curves fitted on the other drives. Existing results are kept, so
an interrupted run can be continued.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from bench_ablation import artifact
from bench_labels import NET, NOISE_DEG, NOISE_M, city, label

from recon.arrays import F64
from recon.bev.bev_map import BevBlocks
from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.metrics.calibration import reliability, step_outcomes
from vectorize.road_map import ElementClass, RoadMap
from vectorize.trace.confidence import CURVES, Curve
from vectorize.trace.trace_site import trace_site
from vectorize.trace_config import TraceConfig
from vectorize.truth.read_truth import read_truth

StepOutcomes = tuple[F64, F64, F64]  # metres, confidence, right

NOISE = ("--pose-noise", str(NOISE_M), "--heading-noise", str(NOISE_DEG))
# Seed, options of the drive, options of the labelling; none of the seeds is used elsewhere.
DRIVES: dict[str, tuple[int, tuple[str, ...], tuple[str, ...]]] = {
    "day": (7101, (), NET),
    "night": (7102, ("--condition", "night"), NET),
    "wet": (7103, ("--condition", "wet"), NET),
    "dusk": (7104, ("--condition", "dusk"), NET),
    "no LiDAR": (7105, ("--no-lidar",), NET),
    "noisy poses": (7106, NOISE, NET),
    "day again": (7107, (), NET),
    "true ids, noisy poses": (7108, NOISE, ()),
}
STEEPNESS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
GRID = tuple(Curve(round(float(half), 4), n) for n in STEEPNESS for half in np.geomspace(0.005, 0.7, 16))
EQUAL = 0.0005  # mean square
FEW_M, SHALLOW = 500.0, 2.0  # on fewer metres no curve is steeper
HEIGHT = np.array([[curve.at(np.linspace(0.0, 1.0, 101)).mean()] for curve in GRID])  # (curves, 1)
CLASSES = tuple(CURVES)


def labelled(work: Path, name: str) -> tuple[BevBlocks, RoadMap]:
    """Write and label a drive, unless done; return its raster and the true map."""
    folder = work / name.replace(",", "").replace(" ", "-")
    seed, writing, labelling = DRIVES[name]
    drive = city(folder / "drive", seed, 0, *writing)
    label(folder / "labels", [drive], labelling)
    return artifact(folder / "labels", "bake", BevBlocks), read_truth(drive).road_map


def stated(bev: BevBlocks, true: RoadMap, curves: dict[ElementClass, Curve]) -> dict[ElementClass, StepOutcomes]:
    """Return per class the metres, confidence and correctness of labels traced with these curves."""
    before = dict(CURVES)
    CURVES.update(curves)
    try:
        road_map = trace_site(bev, TraceConfig())
    finally:
        CURVES.update(before)
    step_m = EvaluateConfig().step_m
    return {name: step_outcomes(road_map.of(name), true.of(name), step_m) for name in CLASSES}


def sums_of(outcomes: StepOutcomes) -> F64:
    """Return the sums over metres (2,): metres, (stated - right)^2."""
    metres, confidence, right = outcomes
    return np.array([metres.sum(), metres @ (confidence - right) ** 2])


def sums_over_grid(work: Path, name: str) -> F64:
    """Return the sums (curves, classes, 2) of a drive for every curve of the grid."""
    bev, true = labelled(work, name)
    outcomes = (stated(bev, true, dict.fromkeys(CLASSES, curve)) for curve in GRID)
    return np.array([[sums_of(one[element_class]) for element_class in CLASSES] for one in outcomes])


def best(sums: dict[str, F64], names: list[str]) -> dict[ElementClass, Curve]:
    """Return per class the lowest of the curves with the least mean square; `sums` are (curves, classes, 2).

    A class that none of the drives has keeps its curve.
    """
    total = np.sum([sums[name] for name in names], axis=0)
    metres, square = np.moveaxis(total, 2, 0)
    steep = np.array([[curve.steepness > SHALLOW] for curve in GRID])
    square = np.where(steep & (metres < FEW_M), np.inf, square)
    near = square <= square.min(axis=0) + EQUAL * metres
    chosen = np.argmin(np.where(near, HEIGHT, np.inf), axis=0)
    return {
        element_class: GRID[k] if metres[0, i] else CURVES[element_class]
        for i, (element_class, k) in enumerate(zip(CLASSES, chosen, strict=True))
    }


def joined(parts: list[StepOutcomes]) -> dict[str, Any]:
    """Return the reliability of several classes or drives together."""
    return reliability(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def row(name: str, now: list[StepOutcomes], other: list[StepOutcomes]) -> str:
    """Return a row of the table: the right share, and the confidence of the curves in use and of other curves."""
    ours, theirs = joined(now), joined(other)
    shares = [ours["right"], ours["confidence"], ours["ece"], theirs["confidence"], theirs["ece"]]
    cells = (f"{100 * share:.1f} %" if share is not None else "-" for share in shares)
    return f"| {name} | {ours['metres']:.0f} | {' | '.join(cells)} |"


def main() -> None:
    """Print the curves and their calibration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("confidence_out"), help="where drives and labels are kept")
    parser.add_argument("--jobs", type=int, default=2, help="drives at a time (2)")
    given = parser.parse_args()
    names = list(DRIVES)
    with ProcessPoolExecutor(given.jobs) as pool:
        sums = dict(zip(names, pool.map(sums_over_grid, repeat(given.work), names), strict=True))
    sites, curves = {name: labelled(given.work, name) for name in names}, best(sums, names)
    print("| drive, class | metres | right | stated | ECE | stated, fitted without it | ECE |\n" + "|---" * 7 + "|")
    now, other, fitted = {}, {}, {}
    for name, (bev, true) in sites.items():
        now[name] = stated(bev, true, {})
        other[name] = stated(bev, true, best(sums, [n for n in names if n != name]))
        fitted[name] = stated(bev, true, curves)
        print(row(name, [*now[name].values()], [*other[name].values()]), flush=True)
    for element_class in CLASSES:
        print(row(element_class, *([outcomes[n][element_class] for n in names] for outcomes in (now, other))))
    print("\nThe fitted curves, and their metres, stated and right in every tenth of confidence")
    for element_class, curve in curves.items():
        record = joined([fitted[name][element_class] for name in names])
        bins = (f"{b['metres']:.0f} m {b['confidence']:.2f} {b['right']:.2f}" for b in record["bins"])
        print(f"{element_class}: {curve}; {', '.join(bins)}")


if __name__ == "__main__":
    main()
