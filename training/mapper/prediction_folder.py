"""What `roadscribe predict` leaves: a folder like that of a label job, and the result files of other projects."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from recon.arrays import U8
from recon.artifact import write_atomic
from recon.drive import DriveLog
from recon.errors import storage_errors
from recon.progress import Tick, silent
from recon.segment.mask2former import device_of
from training.mapper.checkpoint_folder import load_model
from training.mapper.merge.merge import merge
from training.mapper.model_file import trained_cameras
from training.mapper.pictures import sheet
from training.mapper.predict import predict_drive, samples_of
from training.mapper.score import spread
from training.model.config import ModelConfig
from vectorize.config import PackConfig
from vectorize.evaluate.clip import Region
from vectorize.evaluate.evaluate_site import area_of
from vectorize.evaluate.patch import Patch
from vectorize.formats.geojson import write_geojson
from vectorize.formats.maptr import write_maptr_results
from vectorize.formats.streammapnet import write_streammapnet
from vectorize.labels.label_set import LabelSet, PseudoLabels
from vectorize.labels.shard import pack
from vectorize.publish.job_report import REPORT
from vectorize.publish.overlay import draw_overlays
from vectorize.publish.pictures import COLORS_BGR, WIDTH_PX, map_picture
from vectorize.publish.summary import map_summary
from vectorize.road_map import RoadMap

DRAWN = 6  # keyframes, and camera images with the merged map
SURE = 0.3  # predictions of a lower score are kept in the files and not drawn


def predict_into(
    model: Path,
    drive: DriveLog,
    out: Path,
    job: Mapping[str, Any],
    *,
    device: str = "auto",
    cameras: Sequence[str] | None = None,
    least_score: float = 0.05,
    tick: Tick = silent,
) -> dict[str, Any]:
    """Predict a drive with the model in a folder, write the result to `out` and return its report.

    The cameras are by default those that the model was trained with.

    Raises ModelInvalid for a model that cannot be used, and what `predict_drive` and `write_prediction` raise.
    """
    started = time.monotonic()
    where = device_of(device, setting="--device")
    net, config, digest = load_model(model, where)
    provenance = {"model": digest}
    labels = predict_drive(
        net,
        config,
        drive,
        device=where,
        cameras=trained_cameras(model) if cameras is None else cameras,
        least_score=least_score,
        rounded=where.type == "cuda",
        provenance=provenance,
        tick=tick,
    )
    road_map = merge(labels, drive.ground_z_ego_m, drive.origin)
    return write_prediction(out, drive, labels, road_map, config, job, time.monotonic() - started)


def write_prediction(
    out: Path,
    drive: DriveLog,
    labels: LabelSet,
    road_map: RoadMap,
    config: ModelConfig,
    job: Mapping[str, Any],
    seconds: float,
) -> dict[str, Any]:
    """Write map.geojson, shards/, pictures/, results/ and report.json (last), over those of an earlier run.

    Returns the report. Raises DiskFull or StorageError, and ImageInvalid when an image changed meanwhile.
    """
    with storage_errors(str(out)):
        (out / REPORT).unlink(missing_ok=True)
        for name in ("shards", "pictures", "results"):
            shutil.rmtree(out / name, ignore_errors=True)
    write_geojson(road_map, out / "map.geojson", name=drive.name)
    manifest = pack(labels, drive, PackConfig(), out / "shards")
    for exported in (write_maptr_results(drive.name, labels, drive), write_streammapnet(drive.name, labels, drive)):
        for name, data in exported.files.items():
            if not name.endswith("_infos.json"):  # these are for training, and hold no result
                write_atomic(out / "results" / name, data)
    for name, picture in _pictures(drive, labels, road_map, config).items():
        write_atomic(out / "pictures" / f"{name}.png", cv2.imencode(".png", picture)[1].tobytes())
    stage = {"name": "predict", "state": "run", "seconds": round(seconds, 3), "peak_memory_mb": 0.0}
    stage |= {"digest": manifest.digest, "key": ""}
    report: dict[str, Any] = {"roadscribe": version("roadscribe"), "job": dict(job), "seconds": round(seconds, 3)}
    report |= {"peak_memory_mb": 0.0, "stages": [stage], **map_summary(road_map), "keyframes": len(labels.labels)}
    report["coverage"] = round(float(np.mean([one.coverage for one in labels.labels])), 4) if labels.labels else 0.0
    write_atomic(out / REPORT, json.dumps(report, indent=1, allow_nan=False).encode() + b"\n")
    return report


def _pictures(drive: DriveLog, labels: LabelSet, road_map: RoadMap, config: ModelConfig) -> dict[str, U8]:
    """Return BGR pictures by name: the site, camera images with its map, and the predictions of a few keyframes."""
    if not labels.labels:
        return {}
    patches = [_patch(one, labels, drive.ground_z_ego_m) for one in labels.labels]
    area = area_of(patches)
    pictures = {"map": map_picture(drive, road_map, area.grid, area.observed.known)}
    pictures |= dict(draw_overlays(drive, road_map, count=DRAWN, colors=COLORS_BGR, widths=WIDTH_PX))
    drawn = {labels.labels[i].frame: patches[i] for i in spread(len(patches), DRAWN)}
    for (frame, patch), sample in zip(drawn.items(), samples_of(drive, config, set(drawn)), strict=True):
        pictures[f"keyframe_{frame:06d}"] = sheet(sample, patch)[..., ::-1]
    return pictures


def _patch(one: PseudoLabels, labels: LabelSet, ground_z_ego_m: float) -> Patch:
    size = (labels.length_m, labels.width_m)
    return Patch(
        name=f"frame {one.frame}",
        predicted=tuple(e for e in one.elements if e.score >= SURE),
        true=(),
        region=Region.of_patch(one.known, *size),
        size_m=size,
        world_from_ego=one.world_from_ego,
        ground_z_ego_m=ground_z_ego_m,
    )
