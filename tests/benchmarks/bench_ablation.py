"""Effect of each term of the fit: `make ablation`.

For every seed of the demo city, with exact and with noisy poses (0.3 m, 0.5 degrees per trip), one trip is labelled
with all terms and with each term switched off in turn. Two and four trips are labelled too, with and without noise.
Class ids are the true ones, so every loss is a loss of the fit. All commands run as a user runs them (city, label,
aggregate, evaluate). Existing results are kept, so an interrupted run continues.

- *height error*: mean error of the surfels within 12 m of the path, on the road and in its last metre before the kerb.
- *kerb error*: distance of the traced boundaries from the foot of the true kerb, median and 90 % quantile. The mean
  error of the poses is subtracted first, because it cannot be observed from within a trip.
- *mAP*: Chamfer mAP of the patches, on the observed area and on the full range (docs/evaluation.md).
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import shapely
from bench_labels import FIRST_SEED, NOISE_DEG, NOISE_M, city, evaluated, label, noisy_city
from scipy.spatial import cKDTree

from recon.arrays import F64
from recon.artifact import Artifact, read, read_manifest
from recon.classes import DRIVABLE
from recon.config import FitConfig
from recon.demo_city.config import CityConfig
from recon.demo_city.plan.plan_kernels import signed_kerb_distance
from recon.demo_city.scene.city_scene import CityScene
from recon.surface.road_surface import RoadSurface
from vectorize.evaluate.evaluate_result import source_commit
from vectorize.road_map import RoadMap

A = TypeVar("A", bound=Artifact)

TRIPS, FRAMES = 4, 30
NEAR_M, RIM_M = 12.0, 1.0
KERB_FARTHEST_M = 1.5  # farther from any kerb a boundary is a false one: mAP counts those
EVERY = 7  # surfels measured
TERMS: dict[str, tuple[str, ...]] = {
    "all terms": (),
    "no LiDAR": ("fit.lidar_weight=0",),
    "no LiDAR, no stereo": ("fit.lidar_weight=0", "fit.stereo_weight=0"),
    "pose deltas": ("fit.pose_deltas=true",),
    "no smoothness": ("fit.smooth_weight=0",),
    "no colour": ("fit.rgb_weight=0",),
    "no classes": ("fit.class_weight=0",),
    "cameras expose alike": ("fit.exposure=false",),
}
LOGS = ("true_poses.json", "drive.json")
FIGURES = {  # column: figure in the kept files
    "height error, road": "height, road",
    "height error, last metre": "height, rim",
    "kerb error, median": "kerb, half",
    "kerb error, 90 %": "kerb, nine tenths",
    "mAP observed": "mAP observed",
    "mAP full": "mAP",
    "coverage": "coverage",
}
START, END = "<!-- figures -->", "<!-- end of figures -->"


def artifact(out: Path, stage: str, cls: type[A]) -> A:
    """Return what a stage of a finished job left."""
    stages = json.loads((out / "report.json").read_text("utf-8"))["stages"]
    digest = next(entry["digest"] for entry in stages if entry["name"] == stage)
    for folder in (out / ".roadscribe" / "store" / "objects" / stage).iterdir():
        if read_manifest(folder, kind=cls.kind, schema=cls.schema, verify=False).digest == digest:
            return read(cls, folder)
    raise FileNotFoundError(f"{out}: nothing of stage {stage} has the digest {digest}")


def heights(surface: RoadSurface, scene: CityScene, path_xy_m: F64) -> dict[str, float]:
    """Return the mean error in metres of surfels on the road and in its rim."""
    xy = surface.grid.to_m(np.stack([surface.column + 0.5, surface.row + 0.5], axis=-1))[::EVERY]
    z, logits = np.asarray(surface.z)[::EVERY], np.asarray(surface.class_logits)[::EVERY]
    behind = signed_kerb_distance(scene.ground.plan, xy)
    measured = (behind < -0.1) & np.isin(logits.argmax(axis=1), [int(c) for c in DRIVABLE])
    measured &= cKDTree(path_xy_m).query(xy)[0] < NEAR_M
    true = np.array([scene.ground.height(x, y) for x, y in xy[measured].tolist()])
    error = np.abs(z[measured] - true)
    return {"height, road": float(error.mean()), "height, rim": float(error[behind[measured] > -RIM_M].mean())}


def kerbs(found: RoadMap, true_map: Path, path_xy_m: F64, shift_m: F64) -> dict[str, float]:
    """Return the distance in metres of boundaries near the path, moved by `shift_m` (2,), to the true ones."""
    truth = [e for e in json.loads(true_map.read_text("utf-8"))["elements"] if e["class"] == "boundary"]
    lines = shapely.union_all([_line(np.array(e["vertices"])[:, :2], closed=e["closed"]) for e in truth])
    parts = [_line(e.vertices[:, :2], closed=e.closed) for e in found.elements if e.element_class == "boundary"]
    points = [line.interpolate(s) for line in parts for s in np.arange(0.0, line.length, 0.5)]
    xy = np.array([(p.x, p.y) for p in points]).reshape(-1, 2) + shift_m
    distance = shapely.distance(lines, shapely.points(xy[cKDTree(path_xy_m).query(xy)[0] < NEAR_M]))
    distance = distance[distance < KERB_FARTHEST_M]
    if not len(distance):
        return {"kerb, half": float("nan"), "kerb, nine tenths": float("nan")}
    half, most = np.quantile(distance, [0.5, 0.9])
    return {"kerb, half": float(half), "kerb, nine tenths": float(most)}


def _path(log: Path) -> F64:
    frames = json.loads(log.read_text("utf-8"))["frames"]
    return np.array([frame["world_from_ego"] for frame in frames], dtype=np.float64)[:, :2, 3]


def _line(xy: F64, *, closed: bool) -> shapely.LineString:
    return shapely.LineString(np.r_[xy, xy[:1]] if closed else xy)


def figures(out: Path, drives: Sequence[Path], settings: Sequence[str], scene: CityScene | None) -> dict[str, Any]:
    """Label, measure and keep the figures in a file beside the result; without a scene, only look for that file."""
    kept = out.with_suffix(".json")
    if scene is None and not kept.is_file():
        return {}
    if scene is not None and not kept.is_file():
        label(out, drives, [word for setting in settings for word in ("--set", setting)])
        maps = evaluated(out, drives[0])
        true, stated = (np.concatenate([_path(drive / name) for drive in drives]) for name in LOGS)
        path, shift = _path(drives[0] / LOGS[0]), (true - stated).mean(axis=0)
        body = {
            **heights(artifact(out, "fit", RoadSurface), scene, path),
            **kerbs(artifact(out, "trace", RoadMap), drives[0] / "true_map.json", path, shift),
            "mAP observed": maps["observed"],
            "mAP": maps["full"],
            "coverage": maps["coverage"],
            "commit": source_commit(),
        }
        kept.write_text(json.dumps(body), encoding="utf-8")
    return dict(json.loads(kept.read_text("utf-8")))


def of_seed(work: Path, seed: int, *, measure: bool) -> dict[str, dict[str, Any]]:
    """Return the figures of every run of a seed; without `measure`, of those that have been made."""
    folder = work / str(seed)
    exact, noisy = ([folder / f"{poses}-{trip}" for trip in range(TRIPS)] for poses in ("exact", "noisy"))
    scene = None
    if measure:
        for trip in range(TRIPS):
            noisy_city(noisy[trip], city(exact[trip], seed, trip), seed, trip)
        scene = CityScene.build(CityConfig(seed=seed, frames=FRAMES), threads=1)
    runs = {}
    for poses, drives in (("exact", exact), ("noisy", noisy)):
        for name, settings in TERMS.items():
            out = folder / f"{poses}-{name.replace(',', '').replace(' ', '-')}"
            runs[f"{poses}: {name}"] = figures(out, drives[:1], settings, scene)
        for count in (2, TRIPS):
            out = folder / f"{poses}-{count}-trips"
            runs[f"{poses}: {count} trips"] = figures(out, drives[:count], (), scene)
    return runs


def table(runs: Mapping[int, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return a Markdown table of the runs that were made; a cell holds the seeds' figures side by side."""
    lines = []
    for poses in ("exact", "noisy"):
        rows = []
        for name in (*TERMS, "2 trips", f"{TRIPS} trips"):
            seeds = [run.get(f"{poses}: {name}", {}) for run in runs.values()]
            cells = [" / ".join(_cell(seed, figure) for seed in seeds) for figure in FIGURES.values()]
            rows += [f"| {name} | {' | '.join(cells)} |"] if any(seeds) else []
        head = [f"\n| **{poses} poses** | {' | '.join(FIGURES)} |", "|---" * (len(FIGURES) + 1) + "|"]
        lines += head + rows if rows else []
    return "\n".join(lines)


def _cell(run: Mapping[str, Any], figure: str) -> str:
    return f"{100 * run[figure]:.1f}" if figure in run else "-"


def page(given: argparse.Namespace, runs: Mapping[int, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return the figures and how they were made."""
    commits = sorted({str(run["commit"]) for seed in runs.values() for run in seed.values() if run})
    command = f"python tests/benchmarks/bench_ablation.py --seeds {given.seeds} --first {given.first}"
    seeds = " / ".join(map(str, runs))
    about = (
        f"Demo city, seeds {seeds}, {FRAMES} keyframes of six cameras (480 x 270), true id images, "
        f"noise {NOISE_M} m and {NOISE_DEG} degrees. Lengths are in cm, all other figures in percent. `{command}`, "
        f"commit {', '.join(commits)}."
    )
    config = ", ".join(f"{name}={value}" for name, value in asdict(FitConfig()).items())
    texts = (textwrap.fill(text, 120) for text in (about, f"FitConfig of *all terms*: {config}."))
    return "\n\n".join(texts) + f"\n{table(runs)}\n"


def main() -> None:
    """Measure, print the table, and put it into a page where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="how many (2)")
    parser.add_argument("--first", type=int, default=FIRST_SEED, help=f"the first seed ({FIRST_SEED})")
    parser.add_argument("--work", type=Path, default=Path("ablation_out"), help="where drives and results are kept")
    parser.add_argument("--write", type=Path, help="Markdown page whose figures are replaced, e.g. docs/ablation.md")
    parser.add_argument("--kept", action="store_true", help="measure nothing, show what is there")
    given = parser.parse_args()
    runs = {}
    for seed in range(given.first, given.first + given.seeds):
        runs[seed] = of_seed(given.work, seed, measure=not given.kept)
        print(page(given, runs), flush=True)
    if given.write:
        before, _, rest = given.write.read_text("utf-8").partition(START)
        _, found, after = rest.partition(END)
        if not found:
            sys.exit(f"{given.write}: the page has no place for figures, {START} ... {END}")
        given.write.write_text(f"{before}{START}\n{page(given, runs)}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
