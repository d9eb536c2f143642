"""Distances between the predicted and the true elements of one class in one patch or site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from scipy.spatial.distance import cdist

from recon.arrays import F64, I64
from vectorize.evaluate.config import EvaluateConfig
from vectorize.evaluate.metrics.frechet import FrechetBatch
from vectorize.evaluate.metrics.raster import Stamp, iou_matrix, stamp
from vectorize.evaluate.metrics.sampled_element import Shape, is_area, shape_of
from vectorize.road_map import Element


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """P predicted and G true elements of one class, and how far each pair is apart (inf: out of reach)."""

    scores: F64  # (P,)
    predicted_styles: tuple[str, ...]
    true_styles: tuple[str, ...]
    chamfer: F64  # (P, G) metres
    frechet: F64  # (P, G) metres
    iou: F64  # (P, G) of the drawn elements, 0..1

    def of_style(self, style: str) -> Pairs:
        """Return the part that one style of dividers has on both sides."""
        rows = [i for i, s in enumerate(self.predicted_styles) if s == style]
        columns = [j for j, s in enumerate(self.true_styles) if s == style]
        part = np.ix_(rows, columns)
        return Pairs(
            scores=self.scores[rows],
            predicted_styles=tuple(style for _ in rows),
            true_styles=tuple(style for _ in columns),
            chamfer=self.chamfer[part],
            frechet=self.frechet[part],
            iou=self.iou[part],
        )


class Views:
    """Shapes and drawings of the elements of one patch, each computed once."""

    def __init__(self, config: EvaluateConfig, canvas_m: tuple[float, float] | None) -> None:
        self.config, self.canvas_m = config, canvas_m
        # The element is kept beside what it became: its id must not pass to another one.
        self._shapes: dict[int, tuple[Element, Shape]] = {}
        self._stamps: dict[int, tuple[Element, Stamp]] = {}

    def shape(self, element: Element) -> Shape:
        """Return an element's samples."""
        if id(element) not in self._shapes:
            self._shapes[id(element)] = element, shape_of(element, self.config)
        return self._shapes[id(element)][1]

    def stamp(self, element: Element) -> Stamp:
        """Return an element's pixels."""
        if id(element) not in self._stamps:
            drawn = stamp(element, self.config, canvas_m=self.canvas_m, area=is_area(element))
            self._stamps[id(element)] = element, drawn
        return self._stamps[id(element)][1]


def pair(
    predicted: Sequence[Element],
    true: Sequence[Element],
    config: EvaluateConfig,
    batch: FrechetBatch,
    *,
    canvas_m: tuple[float, float] | None = None,
    views: Views | None = None,
) -> Pairs:
    """Compare the elements of one class; `frechet` is complete once `batch` is solved.

    `canvas_m` is the size of a patch centred on zero: its raster ends there. A site has none. `views` keeps what was
    computed of elements that are compared again (those that lie wholly in the observed area).
    """
    shape = (len(predicted), len(true))
    if 0 in shape:
        nothing = np.zeros(shape)
        return _pairs(predicted, true, chamfer=nothing, frechet=nothing, iou=nothing)
    views = views if views is not None else Views(config, canvas_m)
    ours, theirs = [views.shape(e) for e in predicted], [views.shape(e) for e in true]
    chamfer, hausdorff = _chamfer(ours, theirs, config)
    frechet = np.full(chamfer.shape, np.inf)
    for i, j in np.argwhere(np.isfinite(hausdorff)).tolist():
        a, b = ours[i], theirs[j]
        # No leash is shorter than the Hausdorff distance; the coarser points of rings may miss it by their spacing.
        slack = max(a.length_m, b.length_m) / (config.ring_samples - 1) if a.closed or b.closed else 0.0
        if hausdorff[i, j] <= config.reach_m + slack:
            batch.add(frechet, i, j, a, b)
    stamps = [[views.stamp(e) for e in side] for side in (predicted, true)]
    return _pairs(predicted, true, chamfer=chamfer, frechet=frechet, iou=iou_matrix(*stamps))


def _pairs(predicted: Sequence[Element], true: Sequence[Element], *, chamfer: F64, frechet: F64, iou: F64) -> Pairs:
    return Pairs(
        scores=np.array([e.score for e in predicted], dtype=np.float64),
        predicted_styles=tuple(e.style for e in predicted),
        true_styles=tuple(e.style for e in true),
        chamfer=chamfer,
        frechet=frechet,
        iou=iou,
    )


def _near(ours: Sequence[Shape], theirs: Sequence[Shape], reach_m: float) -> list[list[int]]:
    """Return pairs whose boxes come within reach: no point of other pairs does, so no mean distance can either."""
    low_a, high_a = (np.array([getattr(s, side) for s in ours])[:, None] for side in ("low", "high"))
    low_b, high_b = (np.array([getattr(s, side) for s in theirs])[None] for side in ("low", "high"))
    gap = np.maximum(np.maximum(low_a - high_b, low_b - high_a), 0.0)
    # A hair more: samples are rounded, boxes are not.
    pairs: list[list[int]] = np.argwhere(np.hypot(gap[..., 0], gap[..., 1]) <= reach_m + 1e-9).tolist()
    return pairs


def _chamfer(ours: Sequence[Shape], theirs: Sequence[Shape], config: EvaluateConfig) -> tuple[F64, F64]:
    """Return Chamfer and Hausdorff distances (P, G); inf where boxes are out of reach.

    Chamfer = (mean_a min_b + mean_b min_a) / 2. MapTR drops pairs whose buffers do not meet; that is asked only of
    pairs within the widest threshold, since the others count for nothing either way.
    """
    chamfer = np.full((len(ours), len(theirs)), np.inf)
    hausdorff = chamfer.copy()
    doubtful: list[tuple[int, int]] = []
    for i, j in _near(ours, theirs, config.reach_m):
        a, b = ours[i], theirs[j]
        apart = cdist(a.line, b.line)
        nearest = apart.argmin(axis=1)
        forth, back = apart[np.arange(len(nearest)), nearest], apart.min(axis=0)
        hausdorff[i, j] = max(forth.max(), back.max())
        distance = 0.5 * (forth.mean() + back.mean())
        if distance <= config.reach_m:
            chamfer[i, j] = distance
            # A point whose nearest sample is no end lies beside a segment or in a mitred corner: within the buffer.
            beside = (nearest > 0) & (nearest < len(nearest) - 1) & (forth <= config.buffer_m)
            if not (b.gentle and beside.any()):
                doubtful.append((i, j))
    if doubtful:
        rows, columns = np.array(doubtful).T
        meet = shapely.intersects(_buffers(ours, rows, config.buffer_m), _buffers(theirs, columns, config.buffer_m))
        chamfer[rows[~meet], columns[~meet]] = np.inf
    return chamfer, hausdorff


def _buffers(shapes: Sequence[Shape], wanted: I64, width_m: float) -> npt.NDArray[np.object_]:
    unique, inverse = np.unique(wanted, return_inverse=True)
    lines = shapely.linestrings([shapes[k].line for k in unique.tolist()])
    buffers = shapely.buffer(lines, width_m, cap_style="flat", join_style="mitre", mitre_limit=5.0)
    result: npt.NDArray[np.object_] = buffers[inverse]
    return result
