"""LabelSet as StreamMapNet's annotation and result files, in JSON: its loader reads JSON by the file name."""

from __future__ import annotations

from typing import Any

import numpy as np

from recon.drive import DriveLog
from recon.errors import ArtifactInvalid
from recon.geometry import invert, quaternion_from_rotation
from vectorize.formats.exported_files import ExportedFiles, json_bytes
from vectorize.labels.label_set import LabelSet, PseudoLabels
from vectorize.labels.shard import key_prefix, sample_key

LOSES = (
    "the known mask, seen, confidence, style, views and trips: training on this file treats unseen ground as empty",
    "stop lines and centre lines: StreamMapNet has no such classes",
    "height: points have two coordinates",
    "image distortion: the format has no such parameters, so undistort the images first",
)
LABEL = {"ped_crossing": 0, "divider": 1, "boundary": 2}  # the cat2id of its configurations


def write_streammapnet(name: str, labels: LabelSet, drive: DriveLog) -> ExportedFiles:
    """Return `<name>_streammapnet_infos.json` and `<name>_streammapnet_submission.json`; x forward, y left, metres.

    The infos are those of its converter, with the vectors by class in `map_geoms`; upstream reads these from a map. The
    submission holds the same vectors with their scores as predictions, for its evaluator.
    """
    prefix = key_prefix(labels, drive)
    infos: list[dict[str, Any]] = []
    results: dict[str, Any] = {}
    last = len(labels.labels) - 1
    for i, one in enumerate(labels.labels):
        token, frame = sample_key(prefix, one), drive.frames[one.frame]
        vectors, scores, ids = _vectors(one)
        cameras = {image.camera: (drive.camera(image.camera), frame.pose_of(image), image) for image in frame.images}
        infos.append(
            {
                "token": token,
                "sample_idx": i,
                "prev": i - 1,  # -1 before the first
                "next": i + 1 if i < last else -1,
                "scene_name": labels.drive,
                "location": labels.drive,
                "timestamp": one.time_ns // 1000,  # microseconds, as in nuScenes
                "e2g_translation": one.world_from_ego[:3, 3].tolist(),
                "e2g_rotation": quaternion_from_rotation(one.world_from_ego[:3, :3]).tolist(),
                "cams": {
                    key: {
                        # The format has one pose per sample; the motion between frame and exposure is included here.
                        "extrinsics": (invert(pose @ camera.ego_from_camera) @ frame.world_from_ego).tolist(),
                        "intrinsics": camera.k.tolist(),
                        "img_fpath": str(drive.root / image.path),
                    }
                    for key, (camera, pose, image) in cameras.items()
                },
                "map_geoms": {cls: [v for v, k in zip(vectors, ids, strict=True) if k == LABEL[cls]] for cls in LABEL},
            }
        )
        results[token] = {"vectors": vectors, "scores": scores, "labels": ids}
    meta = {"use_camera": True, "use_lidar": False, "output_format": "vector"}
    left_out = sum(e.element_class not in LABEL for one in labels.labels for e in one.elements)
    notes = [f"{left_out} vectors of other classes are left out"] if left_out else []
    bent = [camera.name for camera in drive.cameras if np.any(camera.distortion) or camera.model != "pinhole"]
    if bent:
        notes.append(f"the images of {', '.join(bent)} are distorted, which the file cannot state")
    files = {
        f"{name}_streammapnet_infos.json": json_bytes(infos),
        f"{name}_streammapnet_submission.json": json_bytes({"meta": meta, "results": results}),
    }
    return ExportedFiles(files=files, notes=tuple(notes))


def _vectors(one: PseudoLabels) -> tuple[list[list[list[float]]], list[float], list[int]]:
    vectors, scores, ids = [], [], []
    for element in one.elements:
        if element.element_class not in LABEL:
            continue
        if not np.isfinite(element.vertices[:, :2]).all():
            raise ArtifactInvalid(
                "a vertex of the labels is not finite", where=f"frame {one.frame}", hint="Run the job again."
            )
        points = (np.round(element.vertices[:, :2], 3) + 0.0).tolist()
        vectors.append([*points, *(points[:1] if element.closed else [])])
        scores.append(round(element.score, 4))
        ids.append(LABEL[element.element_class])
    return vectors, scores, ids
