"""Fit the curves from evidence to confidence (`vectorize/confidence.py`): `make confidence`.

Drives on streets of the demo city that no other figure uses are written and labelled as a user labels them: by day, at
dusk, at night, in the wet, without LiDAR and with noisy poses (0.3 m, 0.5 degrees), most with the shipped net, one with
true id images. Their rasters are traced with every curve of a grid. Printed is, per class, the curve whose stated
confidence is nearest to what was right, in the mean square over all metres; of curves that are equally near, within
EQUAL, the most modest, since drives on which all is right would ask for certainty. Then the expected calibration error
of every drive, with the curves in force and with curves fitted on the other drives. What is there already is kept, so
an interrupted run goes on.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from bench_ablation import artifact
from bench_labels import NET, NOISE_DEG, NOISE_M, roadscribe

from recon.bev import BevBlocks
from vectorize.confidence import CURVES, Curve
from vectorize.config import TraceConfig
from vectorize.evaluate.calibration import judged, reliability
from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.truth import read_truth
from vectorize.road_map import ElementClass, RoadMap
from vectorize.trace_site import trace_site

F64 = npt.NDArray[np.float64]
Judged = tuple[F64, F64, F64]  # metres, confidence, right

FRAMES = 30
NOISE = ("--pose-noise", str(NOISE_M), "--heading-noise", str(NOISE_DEG))
# Name, seed, how its drive is written, how it is labelled; none of the seeds is used elsewhere.
DRIVES: tuple[tuple[str, int, tuple[str, ...], tuple[str, ...]], ...] = (
    ("day", 7101, (), NET),
    ("night", 7102, ("--condition", "night"), NET),
    ("wet", 7103, ("--condition", "wet"), NET),
    ("dusk", 7104, ("--condition", "dusk"), NET),
    ("no LiDAR", 7105, ("--no-lidar",), NET),
    ("noisy poses", 7106, NOISE, NET),
    ("day again", 7107, (), NET),
    ("true ids, noisy poses", 7108, NOISE, ()),
)
STEEPNESS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
GRID = tuple(Curve(round(float(half), 4), n) for n in STEEPNESS for half in np.geomspace(0.005, 0.7, 16))
EQUAL = 0.001  # mean square
CLASSES = tuple(CURVES)


def labelled(work: Path, name: str) -> tuple[BevBlocks, RoadMap]:
    """Write and label a drive, unless done; return its raster and the true map."""
    folder = work / name.replace(",", "").replace(" ", "-")
    seed, writing, labelling = next(row[1:] for row in DRIVES if row[0] == name)
    if not (folder / "drive" / "true_map.json").is_file():
        roadscribe("city", folder / "drive", "--seed", str(seed), "--frames", str(FRAMES), *writing)
    if not (folder / "labels" / "report.json").is_file():
        roadscribe("label", folder / "drive", folder / "labels", *labelling)
    return artifact(folder / "labels", "bake", BevBlocks), read_truth(folder / "drive").road_map


def stated(bev: BevBlocks, true: RoadMap, curves: dict[ElementClass, Curve]) -> dict[ElementClass, Judged]:
    """Return what labels traced with these curves state, and what is right, per class."""
    before = dict(CURVES)
    CURVES.update(curves)
    try:
        road_map = trace_site(bev, TraceConfig())
    finally:
        CURVES.update(before)
    step_m = EvaluateConfig().step_m
    return {name: judged(road_map.of(name), true.of(name), step_m) for name in CLASSES}


def sums_of(said: Judged) -> F64:
    """Return the sums over metres (3,): metres, (stated - right)^2, stated."""
    metres, confidence, right = said
    return np.array([metres.sum(), metres @ (confidence - right) ** 2, metres @ confidence])


def best(sums: dict[str, F64], names: list[str]) -> dict[ElementClass, Curve]:
    """Return per class the most modest of the curves with the least mean square; `sums` are (curves, classes, 3)."""
    total = np.sum([sums[name] for name in names], axis=0)
    metres, square, confidence = np.moveaxis(total, 2, 0)
    near = square <= square.min(axis=0) + EQUAL * metres
    chosen = np.argmin(np.where(near, confidence, np.inf), axis=0)
    return {element_class: GRID[k] for element_class, k in zip(CLASSES, chosen, strict=True)}


def whole(said: dict[ElementClass, Judged]) -> dict[str, Any]:
    """Return the reliability of all classes together."""
    return reliability(*(np.concatenate(parts) for parts in zip(*said.values(), strict=True)))


def main() -> None:
    """Print the curves and how well they hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("confidence_out"), help="where drives and labels are kept")
    parser.add_argument("--jobs", type=int, default=2, help="drives at a time (2)")
    given = parser.parse_args()
    names = [row[0] for row in DRIVES]
    with ThreadPoolExecutor(given.jobs) as pool:
        sites = dict(zip(names, pool.map(lambda name: labelled(given.work, name), names), strict=True))
    sums = {name: np.zeros((len(GRID), len(CLASSES), 3)) for name in names}
    for name, (bev, true) in sites.items():
        for k, curve in enumerate(GRID):
            said = stated(bev, true, dict.fromkeys(CLASSES, curve))
            sums[name][k] = [sums_of(said[element_class]) for element_class in CLASSES]
    print("| drive | metres | right | stated | ECE | stated, fitted without it | ECE |\n|---|---|---|---|---|---|---|")
    fitted = best(sums, names)
    together: dict[ElementClass, list[Judged]] = {element_class: [] for element_class in CLASSES}
    for name, (bev, true) in sites.items():
        now = whole(stated(bev, true, {}))
        other = whole(stated(bev, true, best(sums, [n for n in names if n != name])))
        shares = [now["right"], now["confidence"], now["ece"], other["confidence"], other["ece"]]
        print(f"| {name} | {now['metres']:.0f} | " + " | ".join(f"{100 * share:.1f} %" for share in shares) + " |")
        for element_class, part in stated(bev, true, fitted).items():
            together[element_class].append(part)
    print("\nReliability of the fitted curves: metres, stated, right in every tenth of confidence")
    for element_class, parts in together.items():
        record = reliability(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        rows = ", ".join(f"{b['metres']:.0f} m {b['confidence']:.2f} {b['right']:.2f}" for b in record["bins"])
        print(f"{element_class}: {fitted[element_class]}; {rows}")


if __name__ == "__main__":
    main()
