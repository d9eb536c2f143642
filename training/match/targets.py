"""What labels ask of predictions: their parts in known cells, cut exactly at the mask's edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from recon.arrays import F32, I64, AnyArray, Bool
from training.data.train_batch import Labels
from training.match.config import MatchConfig
from training.match.cut_kernels import arc_lengths, known_runs, most_runs, pieces, resample

_FARTHEST = 30_000  # cells: a distance in i16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Targets:
    """Of one sample: T known parts of its labels, P points each, unit coordinates. One for a label that is not cut."""

    depth: AnyArray  # (h, w) i16: `mask_depth`
    label: I64  # (T,) the label that it is of
    classes: I64  # (T,)
    groups: I64  # (T,) the pieces of one prediction may take targets of one group; of one class, and of one repetition
    closed: Bool  # (T,) the whole ring
    turning: Bool  # (T,) whole predictions may begin anywhere: of an area or a ring
    touching: Bool  # (T,) it may go on in unknown cells, so a piece of a prediction may be enough
    shapes: F32  # (T, P, 2)
    chains: F32  # (T, P, 2) what a piece is compared with: of a ring at the edge, the open part away from the edge
    worth: F32  # (T, P) weight of points
    chain_worth: F32  # (T, P)

    def __len__(self) -> int:
        return len(self.label)

    def repeated(self, times: int) -> Targets:
        """Return these so many times over, for the one-to-many branch (MapTRv2 section 3.3)."""
        names = ("label", "classes", "closed", "turning", "touching", "shapes", "chains", "worth", "chain_worth")
        # Pieces on both sides of a hole must not both take the label on one side.
        groups = self.groups + np.arange(times)[:, None] * (self.groups.max(initial=0) + 1)
        parts = {n: np.concatenate([getattr(self, n)] * times) for n in names}
        return Targets(depth=self.depth, groups=groups.ravel(), **parts)


def mask_depth(known: Bool) -> AnyArray:
    """Return (h, w) i16: of a known cell the distance to the nearest unknown one, of an unknown one minus the reverse.

    Chessboard distance in cells; where there is no such cell, farther than any.
    """
    inside = known.astype(np.uint8)
    depth = [cv2.distanceTransform(side, cv2.DIST_C, 3) for side in (inside, 1 - inside)]
    near, far = (np.minimum(d, _FARTHEST).astype(np.int16) for d in depth)
    return near - far


def without_specks(known: Bool, speck_cells: int) -> Bool:
    """Return a mask (h, w) whose unknown ground holds no square of more than `speck_cells`: thinner ground is known."""
    square = np.ones((speck_cells + 1, speck_cells + 1), np.uint8)
    filled: Bool = cv2.morphologyEx(known.astype(np.uint8), cv2.MORPH_CLOSE, square).astype(bool) | known
    return filled


def targets_of(
    labels: Labels, areas: Sequence[bool], config: MatchConfig, *, worth: F32 | None = None
) -> list[Targets]:
    """Return the targets of each sample; `areas` says for each class whether its rings are areas.

    `worth` (B, M, P) weights points, 1 by default. Copies labels to the CPU: a loader can call it ahead of a step.
    """
    points, classes = labels.points.cpu().numpy(), labels.classes.cpu().numpy()
    closed, known = labels.closed.cpu().numpy(), labels.known.cpu().numpy()
    worth = np.ones(points.shape[:3], np.float32) if worth is None else worth
    return [
        _targets(points[b], classes[b], closed[b], known[b], worth[b], np.asarray(areas, bool), config)
        for b in range(len(points))
    ]


def _targets(
    points: F32, classes: I64, closed: Bool, known: Bool, worth: F32, areas: Bool, config: MatchConfig
) -> Targets:
    known, count = without_specks(known, config.speck_cells), points.shape[1]
    depth = mask_depth(known)
    lost: list[F32] = []
    parts: list[tuple[int, bool, bool, tuple[F32, F32], tuple[F32, F32]]] = []
    for m in np.flatnonzero(classes >= 0).tolist():
        given = points[m].astype(np.float32), worth[m]
        cut = _Cut(given, bool(closed[m]), depth, config)
        if not cut.whole:
            parts += [(m, False, True, part, part) for part in cut.parts]
            lost += [] if cut.parts else [given[0]]
        elif not closed[m] or not cut.touching:
            parts.append((m, bool(closed[m]), cut.touching, given, given))
        else:
            # A ring's side along the edge of the mask may be there only because the mask ends. Pieces of a prediction
            # are open there, so they are compared with what is left without that side.
            away = _Cut(given, True, depth, config, away_from_edge=True).parts
            parts.append((m, True, len(away) == 1, given, away[0] if len(away) == 1 else given))
    if lost:
        depth = mask_depth(_forgotten(known, lost, config))
    label = np.array([m for m, *_ in parts], np.int64)
    return Targets(
        depth=depth,
        label=label,
        classes=classes[label].astype(np.int64),
        groups=classes[label].astype(np.int64),
        closed=np.array([ring for _, ring, *_ in parts], bool),
        turning=np.array([ring or bool(areas[classes[m]]) for m, ring, *_ in parts], bool),
        touching=np.array([touching for _, _, touching, *_ in parts], bool),
        shapes=np.array([shape[0] for *_, shape, _ in parts], np.float32).reshape(-1, count, 2),
        chains=np.array([chain[0] for *_, chain in parts], np.float32).reshape(-1, count, 2),
        worth=np.array([shape[1] for *_, shape, _ in parts], np.float32).reshape(-1, count),
        chain_worth=np.array([chain[1] for *_, chain in parts], np.float32).reshape(-1, count),
    )


def _forgotten(known: Bool, lost: Sequence[F32], config: MatchConfig) -> Bool:
    """Return a mask (h, w) that does not know the ground along labels of which too little is known to be a target.

    A prediction there may well be right, so it must not be punished.
    """
    left = known.astype(np.uint8)
    lines = [np.round(points * known.shape[::-1] - 0.5).astype(np.int32)[:, None] for points in lost]
    cv2.polylines(left, lines, False, 0, thickness=2 * round(config.least_piece_cells))
    return left.astype(bool)


class _Cut:
    """One label (P, 2) with the worth of its points (P), cut: `parts` if it is not `whole`."""

    def __init__(
        self,
        given: tuple[F32, F32],
        closed: bool,
        depth: AnyArray,
        config: MatchConfig,
        *,
        away_from_edge: bool = False,
    ) -> None:
        points, worth = given
        xy = points.astype(np.float64) * depth.shape[::-1]
        starts, stops, first, last = np.empty((4, most_runs(len(xy), depth)))
        least = config.touch_cells + 1 if away_from_edge else 1
        runs, nearest = known_runs(xy, closed, depth, least, False, starts, stops)
        along = arc_lengths(xy)
        kept, _, self.whole = pieces(starts, stops, runs, along, closed, config.least_piece_cells, first, last)
        self.touching = bool(nearest <= config.touch_cells)
        self.parts: list[tuple[F32, F32]] = []
        for k in range(0 if self.whole else kept):
            index, fraction = np.empty(len(xy), np.int64), np.empty(len(xy))
            resample(along, first[k], last[k], index, fraction)
            following, share = (index + 1) % len(xy), fraction.astype(np.float32)
            part = points[index] + share[:, None] * (points[following] - points[index])
            self.parts.append((part, worth[index] + share * (worth[following] - worth[index])))
