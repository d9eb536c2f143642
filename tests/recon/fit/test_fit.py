"""The fit on an analytic slope whose heights, colours and classes are known everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import slope_world as world

from recon import artifact
from recon.align.alignment import corrected
from recon.bev.bake import bake
from recon.classes import RoadClass
from recon.config import BakeConfig, FitConfig
from recon.errors import Cancelled, ConfigInvalid, DriveInvalid, ImageInvalid, NoRoadFound
from recon.fit.fit import fit
from recon.grid import Grid
from recon.surface.road_surface import RoadSurface
from recon.views.views import Trip

CONFIG = FitConfig(corridor_m=8.0, max_distance_m=15.0)


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> RoadSurface:
    drive, labels = world.write_drive(tmp_path_factory.mktemp("slope"))
    return fit([Trip(drive=drive, labels=labels)], CONFIG)


def centres(surface: RoadSurface) -> np.ndarray:
    return surface.grid.to_m(np.stack([surface.column + 0.5, surface.row + 0.5], axis=1))


def well_seen(surface: RoadSurface) -> np.ndarray:
    return (surface.views >= 2) & (surface.nearest_view_m < 8.0)


def test_heights_lie_on_the_slope(fitted: RoadSurface) -> None:
    error = fitted.z - world.SLOPE * centres(fitted)[:, 0]
    assert np.median(np.abs(error[well_seen(fitted)])) < 0.015


def test_classes_are_the_painted_ones(fitted: RoadSurface) -> None:
    xy = centres(fitted)[well_seen(fitted)]
    predicted = fitted.class_logits[well_seen(fitted)].argmax(axis=1)
    # Cells cut by an edge may say either side.
    clear = np.abs(np.abs(xy[:, 1] - world.LINE_Y_M) - world.LINE_HALF_M) > 0.1
    clear &= np.abs(np.abs(xy[:, 1]) - world.ROAD_HALF_M) > 0.1
    assert (predicted == world.ground_class(xy[:, 0], xy[:, 1]))[clear].mean() > 0.98


def test_lidar_leaves_little_doubt_of_places(fitted: RoadSurface) -> None:
    near = np.abs(centres(fitted)[:, 1]) < world.ROAD_HALF_M
    assert np.quantile(np.hypot(*fitted.shift_m[near & well_seen(fitted)].T), 0.9) < 0.25


def test_every_term_reports_value_and_liveness(fitted: RoadSurface) -> None:
    terms = fitted.report["losses"]
    assert set(terms) == {"rgb", "class", "smooth", "lidar", "exposure"}
    assert all(term["live"] for term in terms.values())
    # The first look is already right on this noiseless road: steps may not spoil its colours.
    assert terms["rgb"]["last_epoch"] < 1.02 * terms["rgb"]["first_epoch"]
    assert terms["class"]["last_epoch"] < terms["class"]["first_epoch"]


def test_counts_are_explicit(fitted: RoadSurface) -> None:
    assert fitted.views.min() >= 1
    assert fitted.trips.max() == 1
    assert np.isfinite(fitted.nearest_view_m).all()
    assert fitted.nearest_view_m.max() <= CONFIG.max_distance_m


def test_the_same_input_gives_the_same_bytes(fitted: RoadSurface, tmp_path: Path) -> None:
    drive, labels = world.write_drive(tmp_path / "drive")
    again = fit([Trip(drive=drive, labels=labels)], CONFIG)
    digests = [artifact.write(s, tmp_path / name).digest for s, name in ((fitted, "a"), (again, "b"))]
    assert digests[0] == digests[1]


def test_without_lidar_the_term_is_reported_dead(tmp_path: Path) -> None:
    drive, labels = world.write_drive(tmp_path, lidar=False, frames=5)
    surface = fit([Trip(drive=drive, labels=labels)], replace(CONFIG, epochs=1))
    assert surface.report["losses"]["lidar"]["live"] is False
    assert surface.report["lidar_cells"] == 0
    assert surface.report["stereo_points"] > 0
    assert np.median(np.abs(surface.z - world.SLOPE * centres(surface)[:, 0])) < 0.03


def test_a_drive_without_road_is_refused(tmp_path: Path) -> None:
    drive, labels = world.write_drive(tmp_path, frames=3, occluded=True)
    with pytest.raises(NoRoadFound, match=r"0 cells seen.*Check that the cameras"):
        fit([Trip(drive=drive, labels=labels)], CONFIG)


def test_an_image_that_vanished_is_named(tmp_path: Path) -> None:
    drive, labels = world.write_drive(tmp_path, frames=3)
    (tmp_path / "001.png").unlink()
    with pytest.raises(ImageInvalid, match=r"frame 1, front: 001\.png"):
        fit([Trip(drive=drive, labels=labels)], CONFIG)


@pytest.mark.parametrize("which", ["image", "lidar"])
def test_a_file_that_changed_since_the_drive_was_read_is_named(tmp_path: Path, which: str) -> None:
    drive, labels = world.write_drive(tmp_path, frames=5)
    frame = next(frame for frame in drive.frames if frame.lidar_path)
    digest = "0" * 64
    if which == "image":
        images = tuple(replace(image, sha256=digest) for image in frame.images)
        drive = replace(drive, frames=tuple(replace(f, images=images) if f is frame else f for f in drive.frames))
    else:
        drive = replace(drive, file_sha256={frame.lidar_path: digest})
    with pytest.raises(DriveInvalid, match="changed after the drive was read"):
        fit([Trip(drive=drive, labels=labels)], CONFIG)


@pytest.mark.parametrize("lidar", [True, False])
def test_a_road_in_the_mountains_is_the_road_at_the_sea(tmp_path: Path, lidar: bool) -> None:
    drive, labels = world.write_drive(tmp_path, frames=6, lidar=lidar)
    raised = corrected(drive, np.tile([0.0, 0.0, 4000.0, 0.0], (6, 1)))
    sea, mountain = (fit([Trip(drive=one, labels=labels)], CONFIG) for one in (drive, raised))
    assert np.array_equal(mountain.row, sea.row)
    np.testing.assert_allclose(mountain.z - 4000.0, sea.z, atol=1e-3)
    np.testing.assert_allclose(mountain.class_logits, sea.class_logits, atol=1e-3)


def test_the_fit_can_be_cancelled(tmp_path: Path) -> None:
    drive, labels = world.write_drive(tmp_path, frames=3)

    def stop(done: int, total: int, unit: str = "", /) -> None:
        if unit == "steps" and done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        fit([Trip(drive=drive, labels=labels)], CONFIG, stop)


def test_baking_keeps_seen_and_unseen_apart(fitted: RoadSurface) -> None:
    bev = bake(fitted, BakeConfig())
    assert bev.seen.sum() == fitted.count
    total = bev.class_probability.astype(np.float32).sum(axis=2)
    assert np.allclose(total[bev.seen], 1.0, atol=0.01)
    assert not bev.class_probability[~bev.seen].any()
    cells, inside = bev.grid.cells(centres(fitted))
    assert inside.all()
    assert np.array_equal(bev.views[cells[:, 0], cells[:, 1]], fitted.views)
    marking = bev.class_probability[..., RoadClass.LANE_MARKING].astype(np.float64)
    y = bev.grid.centres()[..., 1]
    near = (np.abs(y - world.LINE_Y_M) < 0.6) & (bev.views >= 2)
    assert np.average(y[near], weights=marking[near]) == pytest.approx(world.LINE_Y_M, abs=0.02)


def test_a_finer_raster_of_the_same_surface(fitted: RoadSurface) -> None:
    coarse, fine = bake(fitted, BakeConfig()), bake(fitted, BakeConfig(cell_m=0.05))
    assert fine.seen.mean() == pytest.approx(coarse.seen.mean(), rel=0.05)
    assert fine.grid.cell_m == 0.05


def test_artifacts_of_the_surface_and_the_raster_round_trip(fitted: RoadSurface, tmp_path: Path) -> None:
    bev = bake(fitted, BakeConfig())
    for written, name in ((fitted, "surface"), (bev, "bev")):
        first = artifact.write(written, tmp_path / name)
        back = artifact.read(type(written), tmp_path / name)
        assert artifact.write(back, tmp_path / f"{name}2").digest == first.digest
    assert isinstance(bev.grid, Grid)


def test_a_site_too_large_for_one_raster_is_refused_before_it_fills_the_memory(fitted: RoadSurface) -> None:
    far = replace(fitted, row=fitted.row.copy())
    far.row[-1] += 400_000
    with pytest.raises(ConfigInvalid, match="Split the drive"):
        bake(far, BakeConfig())


def test_cameras_expose_alike_where_exposure_is_not_fitted(fitted: RoadSurface, tmp_path: Path) -> None:
    drive, labels = world.write_drive(tmp_path, frames=3)
    surface = fit([Trip(drive=drive, labels=labels)], replace(CONFIG, epochs=1, exposure=False))
    assert surface.exposure == {"front": (0.0, 0.0)}
    assert surface.report["losses"]["exposure"]["live"] is False
    assert fitted.exposure != {"front": (0.0, 0.0)}
