"""A second net that knows vehicles, beside one that calls them BACKGROUND: its pixels become UNKNOWN.

BACKGROUND is a class of what stays: its edge may be the edge of the road. A parked car is as solid as a wall to a net
with four classes, in every image, so the tracer cannot tell them apart for certain. A net with vehicles can. It is only
asked what moves; what everything else is, and how sure that is, stays with the first net.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from recon.arrays import U8
from recon.segment.segmenter import Segmentation, Segmenter


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Movables:
    """The second net, opened with `net_spec.of_movables`."""

    segmenter: Segmenter
    classes: tuple[str, ...]

    def applied(self, pixels: Sequence[U8], results: Sequence[Segmentation]) -> list[Segmentation]:
        """Return the first net's results for RGB images (H, W, 3), dynamic also where the second net says so."""
        found = self.segmenter.segment(pixels)
        return [_either(first, second) for first, second in zip(results, found, strict=True)]

    def record(self) -> dict[str, Any]:
        """Return what identifies the second net, for the metadata of the labels."""
        return {
            "model": self.segmenter.name,
            "weights_sha256": self.segmenter.weights_sha256,
            "classes": list(self.classes),
        }


def _either(first: Segmentation, second: Segmentation) -> Segmentation:
    if first.dynamic is None or second.dynamic is None:
        return replace(first, dynamic=second.dynamic if first.dynamic is None else first.dynamic)
    return replace(first, dynamic=first.dynamic | second.dynamic)
