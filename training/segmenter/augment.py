"""Crops chosen for their paint, repainted pictures, and soft targets that keep thin paint."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from recon.arrays import F32, U8
from recon.classes import CLASS_COUNT, RoadClass
from recon.segment.net_frame import PAD, resized, scale_of
from training.segmenter.config import TrainConfig
from training.segmenter.sources import IGNORED

_PAINT = (
    RoadClass.LANE_MARKING,
    RoadClass.CROSSWALK,
    RoadClass.STOP_LINE,
    RoadClass.OTHER_MARKING,
    RoadClass.CURB,
)
# Weights of classes in the choice of a crop: rare classes count more than the lane lines that nearly every image has.
_WORTH = np.zeros(256, dtype=np.float32)
_WORTH[list(map(int, _PAINT))] = (1.0, 1.0, 20.0, 5.0, 1.0)
# Weights of classes in the choice of an image, by presence: one stop line adds more than one more metre of kerb.
_RARITY = np.zeros(256, dtype=np.float32)
_RARITY[list(map(int, _PAINT))] = (0.2, 1.0, 4.0, 3.5, 0.1)
_PLENTY_PX = 150.0  # of a class in an image; more of it adds little
_SCALES = (0.75, 1.7)  # of the working size: what an image is magnified by at most and at least
_TRIES = 4


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One training example: pixels at the working size, targets at the mask size."""

    image: U8  # (H, W, 3)
    share: U8  # (CLASS_COUNT, h, w) how much of a mask cell each class covers, 0..255
    valid: U8  # (h, w) how much of it is labelled


def example_of(image: U8, ids: U8, random: np.random.Generator, config: TrainConfig, stride: int) -> Example:
    """Return a random crop of an image at `config.crop`, flipped and repainted, with soft targets.

    Every class keeps its meaning in a mirror, arrows and text too: they are one class.
    """
    image, ids = _crop(image, ids, random, config)
    size_px = config.crop
    if random.random() < 0.5:
        image, ids = image[:, ::-1], ids[:, ::-1]
    small = _repaint(resized(np.ascontiguousarray(image), size_px), random)
    share, valid = soft_target(np.ascontiguousarray(ids), (size_px[0] // stride, size_px[1] // stride))
    return Example(small, share, valid)


def rarity(ids: U8) -> float:
    """Return how much rare paint an image (H, W) shows; 0 for none."""
    count = np.bincount(ids.ravel(), minlength=256)
    return float((np.minimum(count / _PLENTY_PX, 1.0) * _RARITY).sum())


def soft_target(ids: U8, size_px: tuple[int, int]) -> tuple[U8, U8]:
    """Return the share (CLASS_COUNT, h, w) of each class in every cell, and of labelled pixels (h, w); 0..255.

    Shares and not the nearest id: a line that is narrower than a cell would come and go between neighbours.
    """
    share = np.zeros((CLASS_COUNT, size_px[1], size_px[0]), dtype=np.uint8)
    present = np.flatnonzero(np.bincount(ids.ravel(), minlength=256))
    for road_class in present[present < CLASS_COUNT]:
        share[road_class] = resized((ids == road_class).astype(np.uint8) * 255, size_px)
    valid = resized((ids != IGNORED).astype(np.uint8) * 255, size_px)
    return share, valid


def _crop(image: U8, ids: U8, random: np.random.Generator, config: TrainConfig) -> tuple[U8, U8]:
    height, width = ids.shape
    # At magnification 1 a pixel of the crop is a pixel of the whole image at the working size.
    fit = 1.0 / scale_of((width, height), config.size_px)
    zoom = float(np.exp(random.uniform(*np.log(_SCALES))))
    window = round(config.crop[0] * fit / zoom), round(config.crop[1] * fit / zoom)
    tries = _TRIES if random.random() < config.paint_share else 1
    places = [(_start(width, window[0], random), _start(height, window[1], random)) for _ in range(tries)]
    if tries > 1:
        worth = _WORTH[ids[::4, ::4]]
        places.sort(key=lambda place: -_sum(worth, place, window))
    left, top = places[0]
    cut = slice(max(top, 0), top + window[1]), slice(max(left, 0), left + window[0])
    image, ids = image[cut], ids[cut]
    if ids.shape != (window[1], window[0]):
        before = max(-top, 0), max(-left, 0)
        after = window[1] - ids.shape[0] - before[0], window[0] - ids.shape[1] - before[1]
        sides = (before[0], after[0], before[1], after[1])
        image = cv2.copyMakeBorder(image, *sides, cv2.BORDER_CONSTANT, value=(PAD, PAD, PAD)).astype(np.uint8)
        ids = cv2.copyMakeBorder(ids, *sides, cv2.BORDER_CONSTANT, value=(IGNORED,)).astype(np.uint8)
    return image, ids


def _start(length: int, window: int, random: np.random.Generator) -> int:
    """Return where a window begins; a window larger than the image hangs over both of its sides."""
    room = length - window
    return int(random.integers(min(room, 0), max(room, 0) + 1))


def _sum(worth: F32, place: tuple[int, int], window: tuple[int, int]) -> float:
    left, top = (max(at, 0) // 4 for at in place)
    return float(worth[top : (place[1] + window[1]) // 4, left : (place[0] + window[0]) // 4].sum())


def _repaint(image: U8, random: np.random.Generator) -> U8:
    levels = np.linspace(0.0, 1.0, 256, dtype=np.float32)
    gamma, contrast = np.exp(random.uniform(-0.35, 0.35)), np.exp(random.uniform(-0.3, 0.3))
    brightness = random.uniform(-0.12, 0.12)
    tint = np.exp(random.uniform(-0.08, 0.08, 3))
    curve = ((levels**gamma - 0.5) * contrast + 0.5 + brightness)[:, None] * tint[None]
    table = (curve.clip(0, 1) * 255).round().astype(np.uint8)[None]
    image = cv2.LUT(image, table).astype(np.uint8)
    if random.random() < 0.25:
        image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.3, 1.3)).astype(np.uint8)
    if random.random() < 0.5:
        noise = random.standard_normal(image.shape, dtype=np.float32) * np.float32(random.uniform(1.0, 9.0))
        image = (image + noise).clip(0, 255).astype(np.uint8)
    return image
