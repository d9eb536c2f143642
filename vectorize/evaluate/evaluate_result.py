"""The evaluation of a finished job: its result folder against a true map, as a record that names its inputs."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from recon.artifact import MANIFEST, digest_json
from recon.errors import ArtifactInvalid, InputInvalid
from recon.geo_origin import GeoOrigin
from recon.progress import Tick, silent
from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.evaluate_patches import evaluate_patches
from vectorize.evaluate.evaluate_site import area_of, evaluate_site
from vectorize.evaluate.match_pictures import patch_picture, png, site_picture
from vectorize.evaluate.patch import Patch, TruthIndex, check_frame, patches_of
from vectorize.labels.shard import read_shard
from vectorize.publish.job_report import read_report
from vectorize.truth.geojson_reader import read_geojson
from vectorize.truth.read_truth import TruthFile, drive_origin, read_truth

DRAWN_PATCHES = 6  # in the page
FEW_PATCHES = 100  # up to so many, one process finishes before another has started


class Result:
    """The result folder of a finished label job."""

    def __init__(self, folder: Path) -> None:
        """Raise ArtifactForeign if the folder is not a result, ArtifactInvalid if it is damaged."""
        self.folder = folder
        self.report: dict[str, Any] = read_report(folder)
        self.job: dict[str, Any] = self.report["job"]

    @property
    def first_drive(self) -> dict[str, Any]:
        """Return path, format and scene of the drive in whose world frame the result is."""
        drives = self.job.get("drives") or [self.job]
        return dict(drives[0])

    @property
    def origin(self) -> GeoOrigin | None:
        """Return the origin of the first drive, or None if the drive is no longer at its path."""
        return drive_origin(Path(str(self.first_drive.get("drive", ""))))

    @property
    def shards(self) -> list[Path]:
        """Return the shard folders: one, or one for each trip of an aggregate job."""
        shards = self.folder / "shards"
        trips = sorted((p for p in shards.glob("*") if p.name.isdecimal()), key=lambda p: int(p.name))
        return trips if trips and not (shards / MANIFEST).is_file() else [shards]

    def patches(self, truth: TruthIndex) -> list[list[Patch]]:
        """Return for each trip the patches of its keyframes; the sha256 of every file is checked first."""
        return [list(patches_of(read_shard(folder), truth)) for folder in self.shards]


def evaluate(
    folder: str | Path, truth: str | Path | None = None, config: EvaluateConfig | None = None
) -> dict[str, Any]:
    """Return the record of `evaluate_result` alone; raises what it raises."""
    return evaluate_result(Path(folder), None if truth is None else Path(truth), config)[0]


def evaluate_result(
    folder: Path,
    truth_path: Path | None,
    config: EvaluateConfig | None = None,
    tick: Tick = silent,
    *,
    processes: int = 1,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the record of a result and its pictures (PNG by name).

    Without a true map the record holds only `reprojection`, as the job measured it. Raises InputInvalid if the true map
    cannot be used or is in another frame, and ArtifactForeign or ArtifactInvalid if the result cannot be used.
    """
    config = config or EvaluateConfig()
    result = Result(folder)
    body: dict[str, Any] = {
        "about": _about(result, config),
        "reprojection": result.report.get("reprojection"),
        "patches": None,
        "site": None,
        "notes": [],
    }
    if body["reprojection"] is None:
        body["notes"].append("the job held out no frames, so there is no reprojection error: label with --holdout 5")
    if truth_path is None:
        body["notes"].append("no true map was given, so only the reprojection error is reported")
        return body, {}
    source = read_truth(truth_path, origin=result.origin, scene=str(result.first_drive.get("scene", "")))
    body["about"]["truth"] = {"name": source.path.name, "sha256": source.sha256, "seed": source.seed}
    truth = TruthIndex(source.road_map)
    trips = result.patches(truth)
    if config.fill_holes:
        trips = [[replace(patch, region=patch.region.filled()) for patch in trip] for trip in trips]
    patches = [patch for trip in trips for patch in trip]
    check_frame(truth, [p.world_from_ego for p in patches], patches[0].size_m if patches else (0, 0), str(source.path))
    body["patches"] = evaluate_patches(
        patches, config, tick, count=len(patches), processes=processes if len(patches) > FEW_PATCHES else 1
    )
    pictures: dict[str, bytes] = {}
    if patches:
        pictures |= _site(result, source, trips, body, config)
        for number in patches_to_draw(body["patches"]["rows"]):
            pictures[patches[number].name] = png(patch_picture(patches[number], config))
    return body, pictures


def _site(
    result: Result,
    source: TruthFile,
    trips: list[list[Patch]],
    body: dict[str, Any],
    config: EvaluateConfig,
) -> dict[str, bytes]:
    try:
        site = read_geojson(result.folder / "map.geojson", source.origin or result.origin)
    except InputInvalid as error:
        body["notes"].append(f"the site was not measured: {error}")
        return {}
    area = area_of([patch for trip in trips for patch in trip])
    body["site"] = evaluate_site(site, source.road_map, area, config)
    paths = [np.array([p.world_from_ego[:2, 3] for p in trip]) for trip in trips if trip]
    return {"site": png(site_picture(site, source.road_map, area, paths, config))}


def patches_to_draw(rows: list[dict[str, Any]]) -> list[int]:
    """Return the indices of the patches to draw: the three worst, and three spread evenly over the drive."""
    worst = sorted(range(len(rows)), key=lambda i: (rows[i]["f1"] if rows[i]["f1"] is not None else 2.0, i))[
        : DRAWN_PATCHES // 2
    ]
    spread = np.linspace(0, len(rows) - 1, DRAWN_PATCHES).round().astype(int).tolist() if rows else []
    rest = [i for i in dict.fromkeys(spread) if i not in worst]
    return sorted([*worst, *rest[: DRAWN_PATCHES - len(worst)]])


def _about(result: Result, config: EvaluateConfig) -> dict[str, Any]:
    """Return what identifies the evaluation: data, seed, code and settings."""
    names, digests = [], []
    for folder in result.shards:
        try:
            manifest = json.loads((folder / MANIFEST).read_bytes())
            names.append(str(manifest["meta"]["drive"]))
            digests.append(str(manifest["digest"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactInvalid(
                "the shards of the result are missing or damaged", where=str(folder), hint="Label again."
            ) from error
    settings = {key: value for key, value in result.job.items() if key not in ("drive", "drives")}
    return {
        "drive": " + ".join(names),
        "labels": digests,
        "segmenter": result.job.get("segment", {}).get("backend"),
        "seed": result.job.get("fit", {}).get("seed"),
        "job_config": digest_json(settings),
        "labelled_by": result.report.get("roadscribe"),
        "roadscribe": version("roadscribe"),
        "commit": source_commit(),
        "config": asdict(config),
    }


def source_commit() -> str:
    """Return the git commit of the running code, with `+` if files differ from it; empty without a git checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    answers = []
    for arguments in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]):
        command = ["git", "-C", str(root), *arguments]
        try:
            run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
        except (OSError, subprocess.SubprocessError):
            return ""
        answers.append(run.stdout.strip())
    return answers[0] + ("+" if answers[1] else "")
