"""Assigns images to frames where cameras run on their own clocks."""

from __future__ import annotations

import numpy as np

from recon.arrays import I64


def images_of_frames(image_ns: I64, frame_ns: I64, *, reach_ns: int) -> dict[int, int]:
    """Return frame index -> time of its image: the nearest of the images to which this frame is the nearest frame.

    Both arrays are sorted. An image has at most one frame, and lies at most `reach_ns` from it.
    """
    taken: dict[int, int] = {}
    after = np.searchsorted(frame_ns, image_ns)
    for time_ns, right in zip(image_ns.tolist(), after.tolist(), strict=True):
        near = [i for i in (right - 1, right) if 0 <= i < len(frame_ns)]
        if not near:
            break
        frame = min(near, key=lambda i: abs(int(frame_ns[i]) - time_ns))
        distance = abs(int(frame_ns[frame]) - time_ns)
        if distance <= reach_ns and (frame not in taken or distance < abs(int(frame_ns[frame]) - taken[frame])):
            taken[frame] = time_ns
    return taken
