"""Measure how long the evaluation of 1,000 patches takes, cropping the truth included.

The site is a winding road of 4 km: five dividers, two boundaries in pieces, a crossing with stop lines every 80 m.
Labels are the truth, shifted by up to 0.3 m, with gaps and false lines; a quarter of each patch was not observed.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator

import numpy as np

from recon.arrays import F64
from recon.geometry import rotation_from_euler, transform
from vectorize.config import CropConfig
from vectorize.evaluate.clip import Region
from vectorize.evaluate.evaluate_patches import evaluate_patches
from vectorize.evaluate.patch import Patch, TruthIndex
from vectorize.road_map import Element, ElementClass, RoadMap, Style

SIZE_M = (60.0, 30.0)
ROAD_M = 4000.0


def along(distance_m: F64, left_m: float) -> F64:
    """Return points of the road at distances along it and to its left."""
    y = 30.0 * np.sin(distance_m / 90.0)
    slope = 30.0 / 90.0 * np.cos(distance_m / 90.0)
    norm = np.hypot(1.0, slope)
    return np.stack([distance_m - left_m * slope / norm, y + left_m / norm, np.zeros_like(y)], axis=1)


def element(name: ElementClass, vertices: F64, *, style: Style = "unknown", closed: bool = False) -> Element:
    """Return a true element."""
    count = len(vertices)
    return Element(
        element_class=name,
        vertices=vertices,
        seen=np.ones(count, bool),
        confidence=np.ones(count, np.float32),
        score=1.0,
        style=style,
        closed=closed,
    )


def site() -> RoadMap:
    """Return the true map."""
    elements = []
    for left, style in ((-6.0, "solid"), (-2.5, "dashed"), (0.0, "double"), (2.5, "dashed"), (6.0, "solid")):
        for start in np.arange(0.0, ROAD_M, 80.0):  # dividers end at crossings
            elements.append(element("divider", along(np.arange(start + 5, start + 76), left), style=style))
    for left in (-7.5, 7.5):
        for start in np.arange(0.0, ROAD_M, 25.0):
            elements.append(element("boundary", along(np.arange(start, start + 23, 0.75), left)))
    for middle in np.arange(0.0, ROAD_M, 80.0):
        sides = [along(np.array([middle - 2.0, middle + 2.0]), left) for left in (-7.0, 7.0)]
        elements.append(element("ped_crossing", np.concatenate([sides[0], sides[1][::-1]]), closed=True))
        elements.append(element("stop_line", np.concatenate([along(np.array([middle - 3.5]), t) for t in (-7.0, 0.0)])))
    return RoadMap(elements=tuple(elements))


def patches(count: int) -> Iterator[Patch]:
    """Yield patches along the road."""
    generator = np.random.default_rng(17)
    truth = TruthIndex(site())
    config = CropConfig()
    rows, columns = 400, 200
    for k in range(count):
        distance = ROAD_M * k / count
        here, ahead = along(np.array([distance, distance + 0.1]), -2.0)[:, :2]
        yaw = float(np.arctan2(*(ahead - here)[::-1]))
        pose = transform(rotation_from_euler(yaw_rad=yaw), (*here, 0.0))
        true = truth.crop(pose, 0.0, config)
        predicted = []
        for e in true:
            if generator.uniform() > 0.1:
                vertices = e.vertices + [*generator.uniform(-0.3, 0.3, 2), 0.0]
                predicted.append(
                    Element(
                        element_class=e.element_class,
                        vertices=vertices,
                        seen=e.seen,
                        confidence=e.confidence,
                        score=float(generator.uniform(0.1, 1.0)),
                        style=e.style,
                        closed=e.closed,
                    )
                )
        known = np.ones((rows, columns), bool)
        for _ in range(10):  # areas hidden by obstacles
            r, c = int(generator.integers(rows)), int(generator.integers(columns))
            known[r : r + 50, c : c + 50] = False
        region = Region.of_patch(known, *SIZE_M)
        yield Patch(
            name=str(k), predicted=tuple(predicted), true=true, region=region, size_m=SIZE_M, world_from_ego=pose
        )


def _cpu_s() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> None:
    """Print the time of the whole evaluation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    count = arguments.patches
    ready = list(patches(min(count, 50)))  # imports and caches are warm
    elements = np.mean([[len(p.predicted), len(p.true)] for p in ready], axis=0)
    evaluate_patches(ready[:5])
    start, cpu = time.perf_counter(), _cpu_s()
    record = evaluate_patches(patches(count), processes=arguments.processes)
    seconds, cpu = time.perf_counter() - start, _cpu_s() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    labels, true = elements
    print(f"{arguments.processes} processes, {count} patches, {labels:.0f} labels and {true:.0f} true elements each")
    print(f"{seconds:.1f} s ({cpu:.1f} s of CPU), {1e3 * seconds / count:.1f} ms a patch, peak {peak:.0f} MiB")
    for scope in ("full_range", "observed"):
        means = {kind: value["map"] for kind, value in record[scope]["mean"].items()}
        print(f"{scope}: mAP {means}")


if __name__ == "__main__":
    main()
