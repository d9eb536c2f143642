"""Poses that jump, as after a loss of positioning. A map fitted over a jump is wrong but plausible."""

from __future__ import annotations

import numpy as np

from recon.drive import DriveLog

HARD_MPS2 = 5.0  # a vehicle does not brake or turn harder for long


def pose_jump(drive: DriveLog, most_m: float) -> str:
    """Return where a drive's poses jump, or an empty string. Every step is compared with the steps around it."""
    seconds = np.diff([frame.time_ns for frame in drive.frames]) * 1e-9
    if len(seconds) < 3:
        return ""
    step = np.diff(drive.path_xy_m(), axis=0)
    velocity = step / np.maximum(seconds, 1e-6)[:, None]
    excess = np.zeros(len(step))
    for i in range(len(step)):
        near = np.arange(max(i - 2, 0), min(i + 3, len(step)))
        usual = np.median(velocity[near], axis=0)
        # At an end of the drive the neighbours lie to one side, and the speed has changed on the way from them.
        away = abs(float(near.mean()) - i) + 0.5
        allowed = HARD_MPS2 * away * float(seconds[near].mean()) * seconds[i]
        excess[i] = np.linalg.norm(step[i] - usual * seconds[i]) - allowed
    at = int(excess.argmax())
    return f"its poses jump by {excess[at]:.1f} m between frames {at} and {at + 1}" if excess[at] > most_m else ""
