"""Which image belongs to which frame, where cameras run on their own clocks."""

from __future__ import annotations

import numpy as np

from recon.arrays import I64


def images_of_frames(image_ns: I64, frame_ns: I64, *, reach_ns: int) -> dict[int, int]:
    """Return frame index -> time of the image it takes: an image goes to its nearest frame, a frame keeps the nearest.

    Both arrays are sorted. No image is taken twice, and none farther than `reach_ns` from its frame.
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
