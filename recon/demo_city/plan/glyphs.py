"""Shapes that are painted on the road beside lines: arrows, words and symbols, as small bitmaps."""

from __future__ import annotations

import cv2
import numpy as np

from recon.arrays import U8

ROWS, COLUMNS = 160, 64  # of a glyph; row 0 is its far end for the driver who reads it
ARROWS = ("ahead", "left", "right", "ahead_left", "ahead_right")
WORDS = ("BUS", "30", "SLOW", "TAXI", "50")
NAMES = (*ARROWS, *WORDS, "bike", "diamond")
HATCH = 100  # a rectangle of slanted stripes instead of a bitmap


def atlas() -> U8:
    """Return the bitmaps (glyphs, ROWS, COLUMNS), 1 = painted, in the order of NAMES."""
    glyphs = [_arrow(name) for name in ARROWS] + [_word(word) for word in WORDS] + [_bike(), _diamond()]
    return np.ascontiguousarray(np.stack(glyphs))


def _blank() -> U8:
    return np.zeros((ROWS, COLUMNS), dtype=np.uint8)


def _fill(image: U8, points: list[tuple[float, float]]) -> None:
    cv2.fillPoly(image, [np.round(points).astype(np.int32)], 1)


def _arrow(name: str) -> U8:
    image = _blank()
    stem = 28 if "ahead" in name else 60
    _fill(image, [(29, stem), (35, stem), (35, ROWS - 1), (29, ROWS - 1)])
    if "ahead" in name:
        _fill(image, [(32, 0), (44, 46), (20, 46)])
    for side, word in ((-1, "left"), (1, "right")):
        if word in name:
            _fill(image, [(32, 92), (32, 74), (32 + 14 * side, 50), (32 + 14 * side, 66)])
            _fill(image, [(32 + 10 * side, 36), (32 + 31 * side, 52), (32 + 10 * side, 84)])
    return image


def _word(word: str) -> U8:
    size, _ = cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 4)
    text = np.zeros((size[1] + 8, size[0] + 8), dtype=np.uint8)
    cv2.putText(text, word, (4, size[1] + 4), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1, 4)
    return cv2.resize(text, (COLUMNS, ROWS), interpolation=cv2.INTER_NEAREST).astype(np.uint8)


def _bike() -> U8:
    image = _blank()
    for x in (14, 50):
        cv2.ellipse(image, (x, 110), (12, 30), 0, 0, 360, 1, 4)
    for a, b in (((14, 110), (28, 60)), ((28, 60), (44, 60)), ((50, 110), (42, 44)), ((28, 60), (34, 110))):
        cv2.line(image, a, b, 1, 4)
    cv2.line(image, (34, 110), (44, 60), 1, 4)
    return image


def _diamond() -> U8:
    image = _blank()
    _fill(image, [(32, 10), (58, 80), (32, 150), (6, 80)])
    cv2.fillPoly(image, [np.array([(32, 40), (46, 80), (32, 120), (18, 80)], dtype=np.int32)], 0)
    return image
