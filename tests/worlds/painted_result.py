"""A drive folder with a true map and a result of a label job, made by hand without running a job."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from recon.drive import DriveLog, Frame
from recon.geo_origin import GeoOrigin
from recon.geometry import transform
from vectorize.config import CropConfig, PackConfig
from vectorize.formats.geojson import write_geojson
from vectorize.labels.crop import crop_element
from vectorize.labels.label_set import LabelSet, PseudoLabels
from vectorize.labels.shard import pack
from vectorize.road_map import Element, RoadMap

ORIGIN = GeoOrigin(latitude_deg=49.0, longitude_deg=8.4, altitude_m=110.0)


def line(left_m, *, name="divider", style="solid", score=1.0, shift_m=0.0) -> Element:
    """Return a straight line along the road, 140 m long."""
    return Element(
        element_class=name,
        vertices=np.array([[-40 + shift_m, left_m, 0.0], [100 + shift_m, left_m, 0.0]]),
        seen=np.ones(2, bool),
        confidence=np.full(2, score, np.float32),
        score=score,
        style=style,
    )


TRUE = RoadMap(elements=(line(0), line(4, style="dashed"), line(7, name="boundary", style="unknown")))
FOUND = RoadMap(
    origin=ORIGIN,
    # The dashed line is missing, and the line at -9 is false.
    elements=(line(0.2, score=0.8), line(7, name="boundary", score=0.6, style="unknown"), line(-9, score=0.3)),
)


def write_true_map(path: Path, road_map: RoadMap = TRUE) -> Path:
    """Write a true map as the demo city does."""
    entries = [
        {"class": e.element_class, "style": e.style, "closed": e.closed, "vertices": e.vertices.tolist()}
        for e in road_map.elements
    ]
    path.write_text(json.dumps({"format": "roadscribe-true-map", "version": 1, "elements": entries}))
    return path


def write(root: Path) -> tuple[Path, Path]:
    """Write and return (drive folder, result folder); the 1.5 m farthest right of each patch were not observed."""
    drive, out = root / "drive", root / "out"
    drive.mkdir()
    write_true_map(drive / "true_map.json")
    origin = {"latitude_deg": 49.0, "longitude_deg": 8.4, "altitude_m": 110.0}
    (drive / "drive.json").write_text(json.dumps({"name": "painted", "origin": origin, "true_map": "true_map.json"}))
    (drive / "true_poses.json").write_text(json.dumps({"seed": 12}))
    poses = [transform(np.eye(3), (x, 0.0, 0.0)) for x in (0.0, 20.0, 40.0)]
    frames = tuple(Frame(time_ns=i, world_from_ego=p, images=()) for i, p in enumerate(poses))
    log = DriveLog(name="painted", root=drive, cameras=(), frames=frames, origin=ORIGIN)
    known = np.ones((400, 200), bool)
    known[:, 190:] = False
    labels = [
        PseudoLabels(
            frame=i,
            time_ns=i,
            world_from_ego=pose,
            elements=tuple(p for e in FOUND.elements for p in crop_element(e, np.linalg.inv(pose), CropConfig())),
            known=known,
        )
        for i, pose in enumerate(poses)
    ]
    label_set = LabelSet(
        drive="painted", labels=tuple(labels), length_m=60.0, width_m=30.0, mask_cell_m=0.15, provenance={}
    )
    pack(label_set, log, PackConfig(), out / "shards")
    write_geojson(FOUND, out / "map.geojson", name="painted")
    classes = {"divider": {"images": 4, "samples": 9, "median_px": 0.5, "p90_px": 2.0, "why": ""}}
    report = {
        "roadscribe": "0.1.0",
        "stages": [],
        "job": {"kind": "label", "drive": str(drive), "segment": {"backend": "id_images"}, "fit": {"seed": 17}},
        "reprojection": {
            "frames": 1,
            "images": 4,
            "classes": classes,
            **_two_ways(0.25),
            "flat_ground": _two_ways(1.25),
        },
    }
    (out / "report.json").write_text(json.dumps(report))
    return drive, out


def _two_ways(px):
    """Return the report on painted dividers that are all `px` off, without dividers in another map."""
    shares = {"1": float(px <= 1), "2": 1.0, "4": 1.0}
    painted = {"painted_samples": 9, "painted_median_px": px, "painted_mean_px": px, "painted_p90_px": px}
    common = {"common_samples": 0, "common_median_px": None, "common_mean_px": None, "common_p90_px": None}
    nothing = {"common_within_px": dict.fromkeys(shares)}
    return {**painted, "painted_within_px": shares, "marks_within_px": shares, **common, **nothing}
