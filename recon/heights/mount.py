"""How high the cameras ride and where they point, told from images where no LiDAR measured the ground.

A drive states one height of the road in the ego frame and one mount of each camera. Both are typed in by hand. An error
of some centimetres or of half a degree shows in the images: frames along the path then disagree about the road between
them. The ground under the path is compared between the frames of each camera, at a range of heights and of pitches.
A wrong height moves all distances alike. A wrong pitch moves far ones more: both are told apart by looks of one place
from different distances. The height is shared by all cameras. The pitch belongs to each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from recon.arrays import F32, F64, I64
from recon.drive import DriveLog
from recon.geometry import transform
from recon.heights.height_field import HeightField, height_field
from recon.heights.plane_sweep import COARSE, KERB, LEAST_LEVELS, LIGHT_NOISE, SAME_LOOKS, add_disagreement, add_look
from recon.progress import Tick
from recon.surface.cells import Cells
from recon.views.views import Views

BESIDE_M = 2.0  # from the path: the vehicle drove there, so the shape of the road is known
SECTION_M, MOST_SECTIONS = 8.0, 8  # parts of the path that are judged apart, spread over a long drive
COARSE_RAISES_M: F64 = np.arange(-6.0, 7.0, dtype=np.float64) * 0.1
COARSE_PITCHES_DEG: F64 = np.arange(-4.0, 5.0, dtype=np.float64) * 0.5
FINE_RAISES_M: F64 = np.arange(-6.0, 7.0, dtype=np.float64) * 0.02
FINE_PITCHES_DEG: F64 = np.arange(-5.0, 6.0, dtype=np.float64) * 0.1
LEAST_LOOKS = 200.0  # of a camera at the best height: a few square metres that are seen twice
RAISE_APART_M, RAISE_DEPTH = 0.2, 0.02  # heights so far from the best must cost so much more
PITCH_APART_DEG, PITCH_DEPTH = 0.4, 0.005
LEAST_SECTIONS, MOST_ERROR_M = 3, 0.03  # of the height: sections that agree within this standard error
AGREES_M, AGREES_DEG = 0.03, 0.2  # smaller differences are within the noise of the estimate
NEAR_PATH = replace(COARSE, spacing_m=0.2, far_m=16.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """What images say about a rig; NaN where they do not tell."""

    typed_ground_z_m: float
    raise_m: float  # of the ground in the ego frame against the typed one
    error_m: float  # standard error of it
    pitch_deg: dict[str, float]  # of a camera, positive where it points lower than stated

    @property
    def told(self) -> bool:
        """Return whether the images told the height."""
        return bool(np.isfinite(self.raise_m))

    @property
    def wrong(self) -> bool:
        """Return whether the drive states something else than the images show."""
        return self.told and (abs(self.raise_m) > AGREES_M or bool(self._off()))

    def record(self, *, use: bool) -> dict[str, Any]:
        """Return the entry in a surface's report; `use` says whether the fit takes the estimate."""
        used = self.wrong and use
        return {
            "typed_ground_z_ego_m": self.typed_ground_z_m,
            "found_ground_z_ego_m": round(self.typed_ground_z_m + self.raise_m, 3) if self.told else None,
            "error_m": round(self.error_m, 3) if self.told else None,
            "found_pitch_deg": {n: round(p, 2) if np.isfinite(p) else None for n, p in self.pitch_deg.items()},
            "used": "images" if used else "typed",
            "raise_m": round(self.raise_m, 4) if used else 0.0,
            "pitch_deg": {name: round(pitch, 3) for name, pitch in self._off().items()} if used else {},
            "message": self.message(use=use),
        }

    def message(self, *, use: bool) -> str:
        """Return what was found and what is used, for the report and the log."""
        typed = f"ground_z_ego_m {self.typed_ground_z_m:.2f}"
        if not self.told:
            return f"the images do not tell the height of the road, for texture or motion is missing: {typed} is used"
        if not self.wrong:
            return f"the images agree with {typed}"
        found = f"{self.typed_ground_z_m + self.raise_m:.2f} m"
        parts = [f"the images put the road at {found} of the ego frame, the drive states {typed}"]
        for name, pitch in self._off().items():
            parts.append(f"{name} points {abs(pitch):.1f} degrees {'lower' if pitch > 0 else 'higher'} than stated")
        return f"{'; '.join(parts)}. The {'images' if use else 'stated values'} are used (fit.mount)"

    def _off(self) -> dict[str, float]:
        return {n: pitch for n, pitch in self.pitch_deg.items() if np.isfinite(pitch) and abs(pitch) > AGREES_DEG}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Costs:
    """Of one camera: sums over the places of sections (S), at pitches (P) and heights (R)."""

    pitches_deg: F64  # (P,)
    apart: F64  # (S, P, R) disagreement
    contrast: F64  # (S, P, R) contrast and noise
    looks: F64  # (S, P, R) independent looks

    def of(self, sections: slice = slice(None)) -> F64:
        """Return the share (P, R) of the contrast that looks do not have in common, 1 where they are too few."""
        apart, contrast, looks = (sums[sections].sum(axis=0) for sums in (self.apart, self.contrast, self.looks))
        cost: F64 = np.where(looks > SAME_LOOKS * looks.max(), apart / np.maximum(contrast, 1e-12), 1.0)
        return cost


def mounted(drive: DriveLog, report: Mapping[str, Any]) -> DriveLog:
    """Return a drive with the height of the road and the mounts that its surface was fitted with."""
    found = report.get("mount", {})
    if not found or found["used"] != "images":
        return drive
    pitch = found["pitch_deg"]
    cameras = tuple(
        replace(c, ego_from_camera=c.ego_from_camera @ np.linalg.inv(turned(pitch[c.name]))) if c.name in pitch else c
        for c in drive.cameras
    )
    return replace(drive, cameras=cameras, ground_z_ego_m=drive.ground_z_ego_m + found["raise_m"])


def turned(pitch_deg: float) -> F64:
    """Return (4, 4) from the stated frame of a camera to its true one, which points lower by `pitch_deg`."""
    c, s = np.cos(np.radians(pitch_deg)), np.sin(np.radians(pitch_deg))
    return transform(np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]]), [0.0, 0.0, 0.0])


def mount_report(views: Views, drive: DriveLog, *, use: bool, tick: Tick) -> dict[str, Any]:
    """Return the mount's entry in a surface's report; without `use` it only says what disagrees."""
    field = height_field([drive], np.zeros((0, 3)), corridor_m=BESIDE_M, with_std=False)
    return estimate(views, drive, field, tick).record(use=use)


def estimate(views: Views, drive: DriveLog, field: HeightField, tick: Tick) -> Mount:
    """Return what the images of one drive show, against the field through its path."""
    cells, section = _places(drive.path_xy_m())
    names = [camera.name for camera in drive.cameras]
    grids = dict.fromkeys(names, (COARSE_PITCHES_DEG, COARSE_RAISES_M))
    tables = _tables(views, cells, section, field, grids, tick)
    unknown = Mount(
        typed_ground_z_m=drive.ground_z_ego_m,
        raise_m=float("nan"),
        error_m=float("nan"),
        pitch_deg=dict.fromkeys(names, float("nan")),
    )
    if not tables:
        return unknown
    cost = _joint(tables)
    best = int(cost.argmin())
    away = np.abs(COARSE_RAISES_M - COARSE_RAISES_M[best]) >= RAISE_APART_M - 1e-9
    # On a short drive few heights are seen twice: the least of those may be far from the least of all.
    few = float((cost < 1.0).mean()) < LEAST_LEVELS
    if few or best in (0, len(cost) - 1) or cost[away].min() - cost[best] < RAISE_DEPTH:
        return unknown
    pitches = {name: float(t.pitches_deg[t.of()[:, best].argmin()]) for name, t in tables.items()}
    raises = COARSE_RAISES_M[best] + FINE_RAISES_M
    grids = {name: (pitch + FINE_PITCHES_DEG, raises) for name, pitch in pitches.items()}
    fine = _tables(views, cells, section, field, grids, tick)
    if not fine:
        return unknown
    at = int(_joint(fine).argmin())
    raise_m, error_m = _between_sections(fine, raises, at)
    if not error_m <= MOST_ERROR_M:
        return unknown
    told = {n: float(t.pitches_deg[t.of()[:, at].argmin()]) for n, t in fine.items() if _pitch_is_told(t, at)}
    return replace(unknown, raise_m=raise_m, error_m=error_m, pitch_deg={**unknown.pitch_deg, **told})


def _places(path_xy_m: F64) -> tuple[Cells, I64]:
    """Return places near the path (M) and the section (M,) of each, of at most MOST_SECTIONS spread over the drive."""
    cells = Cells.corridor(path_xy_m, corridor_m=BESIDE_M, cell_m=NEAR_PATH.spacing_m)
    along = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(path_xy_m, axis=0), axis=1))]
    part = np.floor(along / SECTION_M).astype(np.int64)
    kept = np.unique(np.linspace(0, part[-1], min(int(part[-1]) + 1, MOST_SECTIONS)).round().astype(np.int64))
    tree = cKDTree(path_xy_m)
    inside = np.isin(part[np.asarray(tree.query(cells.centres())[1])], kept)
    chosen = Cells.of(cells.grid, cells.row[inside], cells.column[inside])
    return chosen, np.searchsorted(kept, part[np.asarray(tree.query(chosen.centres())[1])])


def _tables(
    views: Views,
    cells: Cells,
    section: I64,
    field: HeightField,
    grids: Mapping[str, tuple[F64, F64]],
    tick: Tick,
) -> dict[str, _Costs]:
    """Return the costs of every camera that sees enough places twice; `grids` holds its pitches and heights."""
    xy = cells.centres()
    z = field.at(xy)[0]
    seeing = [n for n in range(len(views)) if len(cells.window(*views.footprint(n, NEAR_PATH.far_m)).ids)]
    tables, done = {}, 0
    for name, (pitches, raises) in grids.items():
        own = views.only([n for n in seeing if views.images[n][1].camera == name])
        sums = [[np.zeros((len(xy), len(raises)), np.float32) for _ in range(4)] for _ in pitches]
        votes = np.zeros((len(xy), KERB + 1), np.float32)
        reach = np.full(len(xy), float(np.abs(raises).max()) + 1e-6)
        for view in own:
            tick(done, len(seeing), "images")
            done += 1
            ids = (window := cells.window(*view.footprint(NEAR_PATH.far_m))).ids
            places = (window.row, window.column, *np.c_[xy, z, reach][ids].T.copy())
            for number, pitch in enumerate(pitches.tolist()):
                looked = replace(view, world_from_camera=view.world_from_camera @ np.linalg.inv(turned(pitch)))
                add_look(looked, places, raises, NEAR_PATH, ids, votes, sums[number])
        costs = _summed(sums, section, pitches)
        if costs.looks.sum(axis=0).max() > LEAST_LOOKS:
            tables[name] = costs
    return tables


def _summed(sums: list[list[F32]], section: I64, pitches: F64) -> _Costs:
    count, levels = int(section.max(initial=0)) + 1, sums[0][0].shape[1]
    totals = np.zeros((3, count, len(pitches), levels))
    for number, own in enumerate(sums):
        looks, apart, contrast = (np.zeros_like(own[0]) for _ in range(3))
        add_disagreement(own, looks, apart, contrast)
        for kind, values in enumerate((apart, contrast + LIGHT_NOISE**2 * looks, looks)):
            for level in range(levels):
                totals[kind, :, number, level] = np.bincount(section, weights=values[:, level], minlength=count)
    return _Costs(pitches_deg=pitches, apart=totals[0], contrast=totals[1], looks=totals[2])


def _joint(tables: Mapping[str, _Costs]) -> F64:
    """Return the cost (R,) of every height for all cameras together, each at the pitch that suits it best."""
    weights = [table.looks.sum(axis=0).max() for table in tables.values()]
    costs = [table.of().min(axis=0) for table in tables.values()]
    return np.asarray(np.average(costs, axis=0, weights=weights), dtype=np.float64)


def _pitch_is_told(table: _Costs, level: int) -> bool:
    """Return whether pitches away from the best one are clearly worse, at whatever height."""
    cost = table.of()
    best = int(cost[:, level].argmin())
    away = np.abs(table.pitches_deg - table.pitches_deg[best]) >= PITCH_APART_DEG - 1e-9
    return bool(0 < best < len(cost) - 1 and cost[away].min() - cost[best, level] > PITCH_DEPTH)


def _between_sections(tables: Mapping[str, _Costs], raises: F64, level: int) -> tuple[float, float]:
    """Return the height that most sections show, and its standard error, infinite for too few sections."""
    sections = len(next(iter(tables.values())).apart)
    found = []
    for section in range(sections):
        own = slice(section, section + 1)
        parts = [(t.of(own).min(axis=0), t.looks[own].sum(axis=0).max()) for t in tables.values()]
        weights = [looks for _, looks in parts]
        if sum(weights) > LEAST_LOOKS / 2:
            found.append(raises[np.average([cost for cost, _ in parts], axis=0, weights=weights).argmin()])
    if len(found) < LEAST_SECTIONS:
        return float(raises[level]), float("inf")
    spread = 1.48 * float(np.median(np.abs(found - np.median(found))))
    return float(np.median(found)), max(spread, 0.01) / float(np.sqrt(len(found)))
