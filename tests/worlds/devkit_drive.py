"""What nuScenes' devkit reads of a data root: keyframes with their cameras, and a map's layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from other_python import run_with
from scipy.spatial.transform import Rotation

from recon.arrays import F64
from recon.geometry import transform

KEYFRAMES = """
import json, sys
import matplotlib
matplotlib.use("Agg")
from nuscenes.nuscenes import NuScenes
root, version, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
base = NuScenes(version, root, verbose=False)
def rigid(table, token):
    record = base.get(table, token)
    return {"rotation": record["rotation"], "translation": record["translation"]}
def camera(token):
    record = base.get("sample_data", token)
    path, _, k = base.get_sample_data(token)
    return {"path": path, "k": k.tolist(), "mount": rigid("calibrated_sensor", record["calibrated_sensor_token"]),
            "pose": rigid("ego_pose", record["ego_pose_token"])}
def keyframe(sample):
    lidar = base.get("sample_data", sample["data"]["LIDAR_TOP"])
    cameras = {name: token for name, token in sample["data"].items() if name.startswith("CAM")}
    return {"timestamp": sample["timestamp"], "last": not sample["next"],
            "lidar_path": base.get_sample_data_path(lidar["token"]), "pose": rigid("ego_pose", lidar["ego_pose_token"]),
            "cameras": {name: camera(token) for name, token in cameras.items()}}
found, token = [], base.scene[0]["first_sample_token"]
while token and len(found) < count:
    sample = base.get("sample", token)
    found.append(keyframe(sample))
    token = sample["next"]
print(json.dumps({"scenes": len(base.scene), "keyframes": found}))
"""

MAP = """
import json, sys
import matplotlib
matplotlib.use("Agg")
from nuscenes.map_expansion import map_api
root, name = sys.argv[1:]
map_api.locations.append(name)  # the devkit knows four cities by name
city = map_api.NuScenesMap(root, name)
print(json.dumps({
    "drivable": [city.extract_polygon(t).wkt for row in city.drivable_area for t in row["polygon_tokens"]],
    "crossings": len(city.ped_crossing),
    "dividers": [city.extract_line(row["line_token"]).wkt for row in city.lane_divider],
}))
"""


def keyframes(root: Path, version: str, count: int) -> dict[str, Any]:
    """Return how many scenes there are, and the first keyframes of the first."""
    return run_with("nuscenes", KEYFRAMES, root, version, count)


def map_layers(root: Path, name: str) -> dict[str, Any]:
    """Return drivable areas and dividers as WKT, and the number of crossings."""
    return run_with("nuscenes", MAP, root, name)


def rigid(record: dict[str, Any]) -> F64:
    """Return the (4, 4) transform of a record: its quaternion has w first."""
    return transform(Rotation.from_quat(np.roll(record["rotation"], -1)).as_matrix(), record["translation"])
