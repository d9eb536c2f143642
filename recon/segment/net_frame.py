"""An image in the input of a net: the aspect is kept, and padding fills the rest.

A net that was trained on images of one aspect finds little in squeezed ones: a kerb gets another slope, and a road
another width. So one factor scales both sides. Edges of pixels map to edges of pixels, as in every resize of half-pixel
centres: x in the input = left + x in the image * width of the content / width of the image, the content in whole
pixels, and `from_net` undoes exactly that. The padding lies above, where a camera that looks ahead sees sky, and on
both sides alike: the road stays at the bottom, where nets learn it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from recon.arrays import U8, AnyArray

PAD = 114  # grey level of padding: near the mean of photographs, and what `segment train` pads with

Size = tuple[int, int]  # width, height


@dataclass(frozen=True, slots=True)
class NetFrame:
    """The window of a net's input that one image fills; all numbers in pixels of the input."""

    image_px: Size
    net_px: Size
    left: int
    top: int
    width: int
    height: int

    @classmethod
    def of(cls, image_px: Size, net_px: Size) -> Self:
        """Return the largest window of the image's aspect, rounded to whole pixels, in an input of `net_px`."""
        if _same_aspect(image_px, net_px):
            return cls(image_px, net_px, 0, 0, *net_px)
        factor = scale_of(image_px, net_px)
        width, height = (max(1, round(length * factor)) for length in image_px)
        return cls(image_px, net_px, (net_px[0] - width) // 2, net_px[1] - height, width, height)

    @property
    def window(self) -> tuple[slice, slice]:
        """Return the rows and columns of the content."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def to_net(self, image: U8) -> U8:
        """Return an image (H, W) or (H, W, 3) as the net's input, of the same kind; identical where sizes agree."""
        content = resized(image, (self.width, self.height))
        if (self.width, self.height) == self.net_px:
            return content
        framed = np.full((self.net_px[1], self.net_px[0], *image.shape[2:]), PAD, dtype=np.uint8)
        framed[self.window] = content
        return framed

    def from_net(self, plane: AnyArray) -> AnyArray:
        """Return a plane (h, w) of the net's output, of any resolution, at the size of the image (H, W)."""
        if plane.shape[::-1] != self.net_px:  # coarser nets: their cells share the edges of the input
            plane = resized(plane, self.net_px)
        return resized(np.ascontiguousarray(plane[self.window]), self.image_px)


def scale_of(image_px: Size, net_px: Size) -> float:
    """Return how many pixels of the net's input one pixel of the image fills."""
    return min(net_px[0] / image_px[0], net_px[1] / image_px[1])


def _same_aspect(image_px: Size, net_px: Size) -> bool:
    """Return whether one factor takes the image to this size, both sides rounded to whole pixels."""
    least = max((net - 0.5) / length for length, net in zip(image_px, net_px, strict=True))
    most = min((net + 0.5) / length for length, net in zip(image_px, net_px, strict=True))
    return least <= most


def size_of(image: AnyArray) -> Size:
    """Return the width and height of an image (H, W, ...)."""
    return image.shape[1], image.shape[0]


def resized(image: AnyArray, size_px: Size) -> AnyArray:
    """Return an image at another size; shrinking averages, since samples would miss thin paint."""
    if size_of(image) == size_px:
        return image
    shrinks = size_px[0] <= image.shape[1] and size_px[1] <= image.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    result: AnyArray = cv2.resize(image, size_px, interpolation=method)
    return result
