"""The poses of an Argoverse 2 log: a table of about a hundred a second, interpolated at any time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from recon.arrays import F64, I64
from recon.errors import CalibrationMissing, PoseInvalid
from recon.geometry import rotation_from_quaternion, transform
from recon.sensors.feather_table import read_columns

POSES = "city_SE3_egovehicle.feather"
MAX_GAP_NS = 200_000_000  # across a longer one, interpolation is not reliable
QUATERNION_TOLERANCE = 1e-3
SE3 = ("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")
_HINT = "Restore the file as Argoverse 2 distributes it."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Poses:
    """Poses in order of time."""

    time_ns: I64  # (N,) strictly increasing
    city_from_ego: F64  # (N, 4, 4)

    def at(self, time_ns: int, *, where: str) -> F64:
        """Return `city_from_ego` (4, 4) at a time: linear between rows, and along the shortest turn.

        Raises PoseInvalid outside the table and in gaps longer than MAX_GAP_NS.
        """
        after = int(np.searchsorted(self.time_ns, time_ns))
        if after < len(self.time_ns) and self.time_ns[after] == time_ns:
            exact: F64 = self.city_from_ego[after]
            return exact
        if after in (0, len(self.time_ns)):
            message = f"{POSES} covers {self.time_ns[0]} to {self.time_ns[-1]} ns, not {time_ns}"
            raise PoseInvalid(message, where=where, hint="Leave out what was recorded outside the poses.")
        start, end = int(self.time_ns[after - 1]), int(self.time_ns[after])
        if end - start > MAX_GAP_NS:
            message = f"{POSES} has a gap of {(end - start) * 1e-9:.2f} s around {time_ns} ns"
            raise PoseInvalid(message, where=where, hint="Leave out what was recorded in the gap.")
        share = (time_ns - start) / (end - start)
        first, second = self.city_from_ego[after - 1], self.city_from_ego[after]
        turn = Slerp([0.0, 1.0], Rotation.from_matrix(np.stack([first[:3, :3], second[:3, :3]])))
        return transform(turn(share).as_matrix(), (1 - share) * first[:3, 3] + share * second[:3, 3])


def read_poses(root: Path) -> Poses:
    """Read a log's pose table; PoseInvalid names the row that is not rigid, not finite or not later than the last."""
    table = read_columns(root, POSES, ("timestamp_ns", *SE3), kind=PoseInvalid)
    time_ns = table["timestamp_ns"].astype(np.int64)
    if not len(time_ns):
        raise PoseInvalid("the table holds no pose", where=POSES, hint=_HINT)
    late = np.flatnonzero(np.diff(time_ns) <= 0)
    if len(late):
        raise PoseInvalid("time does not advance", where=f"{POSES}, row {late[0] + 1}", hint=_HINT)
    values = np.stack([table[name].astype(np.float64) for name in SE3], axis=-1)
    norms = np.linalg.norm(values[:, :4], axis=1)
    bad = np.flatnonzero(np.abs(norms - 1.0) > QUATERNION_TOLERANCE)
    if len(bad):
        raise PoseInvalid(f"the quaternion has norm {norms[bad[0]]:.4g}", where=f"{POSES}, row {bad[0]}", hint=_HINT)
    poses = np.tile(np.eye(4), (len(values), 1, 1))
    poses[:, :3, :3] = Rotation.from_quat(values[:, [1, 2, 3, 0]]).as_matrix()
    poses[:, :3, 3] = values[:, 4:]
    return Poses(time_ns=time_ns, city_from_ego=poses)


def read_extrinsics(root: Path, name: str) -> dict[str, F64]:
    """Return sensor -> `ego_from_sensor` (4, 4) of a calibration table."""
    table = read_columns(root, name, ("sensor_name", *SE3), kind=CalibrationMissing)
    values = np.stack([table[column].astype(np.float64) for column in SE3], axis=-1)
    result = {}
    for row, sensor in enumerate(table["sensor_name"].tolist()):
        norm = float(np.linalg.norm(values[row, :4]))
        if abs(norm - 1.0) > QUATERNION_TOLERANCE:
            message = f"{sensor}: the quaternion has norm {norm:.4g}"
            raise CalibrationMissing(message, where=f"{name}, row {row}", hint=_HINT)
        result[str(sensor)] = transform(rotation_from_quaternion(values[row, :4]), values[row, 4:])
    return result
