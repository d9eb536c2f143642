"""Quality of labels on unseen streets of the demo city: `make figures`.

Every seed is rendered as four trips with exact poses, and as the same images with pose noise (0.3 m, 0.5 degrees).
Five jobs label them: one trip with true id images, one and four trips with the shipped net, and four trips with true id
images without and with noise. All commands run as a user runs them (city, label, aggregate, evaluate). Existing results
are kept, so an interrupted run continues.

The demo city is laid over real maps too, where logs of Argoverse 2 are at hand: one trip along the path of each log,
without LiDAR, with dashes as in the United States (3.05 m, gaps of 9.14 m). Nothing is fitted on them.

- *mAP*: Chamfer mAP over divider, ped_crossing and boundary of the patches (docs/evaluation.md).
- *coverage*: share of the ground of the patches that was observed.
- *confidence*: mean confidence that the labels of one trip state. *right*: share of their metres within 0.5 m of the
  truth. *ECE*: expected calibration error.
- *position error removed*: by the alignment of noisy trips. The error that all trips share is subtracted first, because
  it cannot be observed from within the trips.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from recon.align.alignment import Alignment
from recon.artifact import read, read_manifest
from recon.demo_city.city_drive import plan_drive
from recon.demo_city.config import CityConfig
from recon.demo_city.render.rig import calibrated_camera
from recon.demo_city.scene.city_scene import CityScene
from recon.formats.drive_folder.drive_folder import write_drive_json
from training.experiments.command import roadscribe
from vectorize.evaluate.evaluate_result import source_commit

FIRST_SEED = 7001  # neither trained on (1000 to 1189) nor validated on (2000 to 2007)
TRIPS, FRAMES = 4, 30
NOISE_M, NOISE_DEG = 0.3, 0.5
RUNS = ("ids_1", "net_1", "net_4", "ids_4", "noisy_4")
NET = ("--segmenter", "mask2former", "--weights", "demo_city")
COLUMNS = {
    "ids, 1 trip: mAP observed": "ids_1_observed",
    "net, 1 trip: mAP observed": "net_1_observed",
    "net, 1 trip: mAP full": "net_1_full",
    "coverage, 1 trip": "net_1_coverage",
    "confidence": "net_1_confidence",
    "right": "net_1_right",
    "ECE": "net_1_ece",
    "net, 4 trips: mAP full": "net_4_full",
    "coverage, 4 trips": "net_4_coverage",
    "ids, 4 trips: mAP observed": "ids_4_observed",
    "with noise: mAP observed": "noisy_4_observed",
    "with noise: ECE": "noisy_4_ece",
    "position error removed": "noisy_4_noise_removed",
}

MAPPED = ("--no-lidar", "--dash", "3.05", "--gap", "9.14")
MAPPED_COLUMNS = {
    "ids: mAP observed": "ids_1_observed",
    "ids: mAP full": "ids_1_full",
    "ids: ECE": "ids_1_ece",
    "net: mAP observed": "net_1_observed",
    "net: mAP full": "net_1_full",
    "coverage": "net_1_coverage",
    "confidence": "net_1_confidence",
    "right": "net_1_right",
    "net: ECE": "net_1_ece",
}


def city(folder: Path, seed: int, trip: int, *options: str) -> Path:
    """Write a trip unless it is there."""
    if not (folder / "true_map.json").is_file():
        roadscribe("city", folder, "--seed", str(seed), "--trip", str(trip), "--frames", str(FRAMES), *options)
    return folder


def label(out: Path, drives: Sequence[Path], options: Sequence[str]) -> None:
    """Label a drive or aggregate several, unless done."""
    if not (out / "report.json").is_file():
        job: list[str | Path] = ["label", drives[0], out] if len(drives) == 1 else ["aggregate", out, *drives]
        roadscribe(*job, *options)


def noisy_city(folder: Path, exact: Path, seed: int, trip: int) -> Path:
    """Write what `city --pose-noise --heading-noise` writes: the images know nothing of the noise and are linked."""
    if not (folder / "drive.json").is_file():
        config = CityConfig(seed=seed, trip=trip, frames=FRAMES, pose_noise_m=NOISE_M, pose_noise_deg=NOISE_DEG)
        shutil.copytree(exact, folder, copy_function=os.link, ignore=shutil.ignore_patterns("drive.json"))
        cameras = tuple(calibrated_camera(camera, config) for camera in config.cameras)
        write_drive_json(plan_drive(folder, config, CityScene.build(config, threads=1), cameras), folder)
    return folder


def measured(out: Path, drives: Sequence[Path], options: Sequence[str] = ()) -> dict[str, Any]:
    """Label one drive or aggregate several, unless done, and return mAP and coverage; they are kept beside `out`."""
    kept = out.with_suffix(".json")
    if not kept.is_file():
        label(out, drives, options)
        figures = {
            **evaluated(out, drives[0]),
            **({"noise_removed": noise_removed(out, drives)} if out.name.startswith("noisy") else {}),
            "commit": source_commit(),
        }
        kept.write_text(json.dumps(figures), encoding="utf-8")
    return dict(json.loads(kept.read_text("utf-8")))


def evaluated(out: Path, truth: Path) -> dict[str, float]:
    """Return mAP on the observed area and on all of it, coverage, and how far confidence holds, of a finished job."""
    record = json.loads(roadscribe("evaluate", out, "--truth", truth, "--json"))
    patches, calibration = record["patches"], record["site"]["calibration"]
    return {
        "observed": patches["observed"]["mean"]["chamfer"]["map"] or 0.0,
        "full": patches["full_range"]["mean"]["chamfer"]["map"] or 0.0,
        "coverage": patches["coverage"]["area"],
        **{name: calibration[name] for name in ("confidence", "right", "ece") if calibration[name] is not None},
    }


def noise_removed(out: Path, drives: Sequence[Path]) -> float:
    """Return the share of the position error (root mean square, without what all share) that alignment took away."""
    stages = json.loads((out / "report.json").read_text("utf-8"))["stages"]
    digest = next(stage["digest"] for stage in stages if stage["name"] == "align")
    folders = (out / ".roadscribe" / "store" / "objects" / "align").iterdir()
    folder = next(f for f in folders if read_manifest(f, kind="Alignment", schema=1).digest == digest)
    alignment = read(Alignment, folder)
    before, after = [], []
    for drive, trip in zip(drives, alignment.trips, strict=True):
        stated, true = (
            np.array([frame["world_from_ego"] for frame in json.loads((drive / name).read_text("utf-8"))["frames"]])
            for name in ("drive.json", "true_poses.json")
        )
        error = stated[:, :2, 3] - true[:, :2, 3]
        before.append(error)
        after.append(error + trip.correction[:, :2])
    spread = [np.concatenate(errors) for errors in (before, after)]
    size = [float(np.sqrt(np.square(e - e.mean(axis=0)).sum(axis=1).mean())) for e in spread]
    return 1.0 - size[1] / size[0]


def figures_of(seed: int, folder: Path, wanted: Sequence[str]) -> dict[str, Any]:
    """Return the figures of one seed: `wanted` runs are measured, others are shown if they have been measured."""
    exact = [folder / f"exact-{trip}" for trip in range(TRIPS)]
    noisy = [folder / f"noisy-{trip}" for trip in range(TRIPS)]
    if wanted:
        for trip in range(TRIPS if any(name.endswith(f"_{TRIPS}") for name in wanted) else 1):
            noisy_city(noisy[trip], city(exact[trip], seed, trip), seed, trip)
    runs: dict[str, tuple[Sequence[Path], Sequence[str]]] = {
        "ids_1": (exact[:1], ()),
        "net_1": (exact[:1], NET),
        "net_4": (exact, NET),
        "ids_4": (exact, ()),
        "noisy_4": (noisy, ()),
    }
    flat: dict[str, Any] = {}
    for name, (drives, options) in runs.items():
        if name in wanted or (folder / f"{name}.json").is_file():
            flat |= {f"{name}_{key}": value for key, value in measured(folder / name, drives, options).items()}
    return flat


def logs() -> list[Path]:
    """Return the Argoverse 2 logs of the test data."""
    root = Path(os.environ.get("ROADSCRIBE_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
    return [folder.parent for folder in sorted(root.glob("argoverse2/*/*/map"))]


def mapped_figures(log: Path, folder: Path, wanted: Sequence[str]) -> dict[str, Any]:
    """Return the figures of the streets of one log, as `figures_of` does."""
    drive = folder / "drive"
    if wanted and not (drive / "true_map.json").is_file():
        roadscribe("city", drive, "--map", log, *MAPPED)
    flat: dict[str, Any] = {}
    for name, options in (("ids_1", ()), ("net_1", NET)):
        if name in wanted or (folder / f"{name}.json").is_file():
            flat |= {f"{name}_{key}": value for key, value in measured(folder / name, [drive], options).items()}
    return flat


def table(rows: dict[Any, dict[str, Any]], columns: dict[str, str], first: str) -> str:
    """Return the figures as a Markdown table, in percent, with their mean; a dash is a run that was not made."""
    lines = [f"| {first} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in [*rows.items(), ("mean", mean_of(list(rows.values()), columns))]:
        cells = (f"{100 * row[key]:.1f}" if key in row else "-" for key in columns.values())
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mean_of(rows: list[dict[str, Any]], wanted: dict[str, str]) -> dict[str, float]:
    """Return the mean of every figure over the rows that have it."""
    columns = {key: [row[key] for row in rows if key in row] for key in wanted.values()}
    return {key: statistics.fmean(values) for key, values in columns.items() if values}


def main() -> None:
    """Measure, print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8, help="how many (8)")
    parser.add_argument("--first", type=int, default=FIRST_SEED, help=f"the first seed ({FIRST_SEED})")
    parser.add_argument("--work", type=Path, default=Path("figures_out"), help="where drives and results are kept")
    parser.add_argument("--jobs", type=int, default=2, help="seeds at a time (2)")
    parser.add_argument("--runs", nargs="*", choices=RUNS, default=RUNS, help="what to measure (all)")
    parser.add_argument("--kept", action="store_true", help="measure nothing, show what is there")
    parser.add_argument("--write", type=Path, help="Markdown file for the table, e.g. docs/figures.md")
    given = parser.parse_args()
    wanted = () if given.kept else tuple(given.runs)
    rows: dict[int, dict[str, Any]] = {}
    mapped: dict[str, dict[str, Any]] = {}
    seeds = range(given.first, given.first + given.seeds)
    with ThreadPoolExecutor(max_workers=given.jobs) as pool:
        found = pool.map(lambda seed: figures_of(seed, given.work / str(seed), wanted), seeds)
        for seed, row in zip(seeds, found, strict=True):
            rows |= {seed: row} if row else {}
            print(table(rows, COLUMNS, "seed"), flush=True)
        works = [given.work / log.name for log in logs()]
        found = pool.map(lambda log, work: mapped_figures(log, work, wanted), logs(), works)
        for log, row in zip(logs(), found, strict=True):
            mapped |= {log.name[:8]: row} if row else {}
    if mapped:
        print(table(mapped, MAPPED_COLUMNS, "log"), flush=True)
    if given.write:
        given.write.write_text(page(rows, mapped, given), encoding="utf-8")


def page(rows: dict[int, dict[str, Any]], mapped: dict[str, dict[str, Any]], given: Any) -> str:
    """Return the Markdown page with the tables and how they were made."""
    every = [*rows.values(), *mapped.values()]
    commit = ", ".join(sorted({value for row in every for key, value in row.items() if key.endswith("_commit")}))
    about = (__doc__ or "").split("\n\n", 1)[1].strip()
    command = f"python tests/benchmarks/bench_labels.py --seeds {given.seeds} --first {given.first}"
    body = f"# Figures on the demo city\n\n{about}\n\nPercent. `{command}`, commit {commit}.\n\n"
    body += f"{table(rows, COLUMNS, 'seed')}\n"
    return body + (f"\n## Streets of real maps\n\n{table(mapped, MAPPED_COLUMNS, 'log')}\n" if mapped else "")


if __name__ == "__main__":
    main()
