from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import small_site

from recon.classes import COLORS_RGB, RoadClass
from vectorize.formats.geotiff import write_geotiff

rasterio = pytest.importorskip("rasterio", reason="rasterio comes with roadscribe[geo]")


def opened(written, layer):
    return rasterio.MemoryFile(written.files[f"a_{layer}.tif"]).open()


@pytest.fixture(scope="module")
def bev():
    return small_site.bev()


@pytest.fixture(scope="module")
def written(bev):
    return write_geotiff("a", bev, small_site.road_map())


def test_a_cell_lies_where_its_degrees_say(bev, written):
    from rasterio.warp import transform

    with opened(written, "color") as raster:
        assert raster.shape == bev.grid.shape
        assert raster.res == (0.25, 0.25)
        centres = bev.grid.centres()
        for row, column in ((0, 0), (79, 199), (40, 60)):
            assert raster.xy(row, column) == pytest.approx(centres[row, column])
            lonlat = transform(raster.crs, "EPSG:4326", *([v] for v in raster.xy(row, column)))
            expected = small_site.ORIGIN.to_degrees(centres[row, column])
            assert np.array(lonlat)[:, 0] == pytest.approx(expected, abs=1e-10)


def test_colours_classes_heights_and_views_are_those_of_the_map(bev, written):
    with opened(written, "color") as raster:
        assert np.array_equal(raster.read([1, 2, 3]), np.moveaxis(bev.rgb, 2, 0))
        assert np.array_equal(raster.read(4) > 0, bev.seen)
        assert [c.name for c in raster.colorinterp] == ["red", "green", "blue", "alpha"]
    with opened(written, "class") as raster:
        expected = np.where(bev.seen, bev.class_probability.argmax(axis=2), 0)
        assert np.array_equal(raster.read(1), expected)
        assert raster.colormap(1)[RoadClass.CURB] == (*COLORS_RGB[RoadClass.CURB], 255)
        assert raster.tags()["CLASS_4"] == "CURB"
    with opened(written, "percent") as raster:
        assert set(np.unique(raster.read(1))) == {0, 75}
    with opened(written, "height") as raster:
        heights = raster.read(1, masked=True)
        assert np.array_equal(~np.ma.getmaskarray(heights), bev.seen)
        assert np.abs(heights - (bev.height_m + 110.0)).max() < 1e-4
    with opened(written, "views") as raster:
        assert np.array_equal(raster.read(1), bev.views)
    assert written.notes == ()


def test_rasters_are_tiled_with_overviews(bev):
    wide = replace(
        bev,
        grid=replace(bev.grid, width=1200),
        **{
            name: np.repeat(getattr(bev, name), 6, axis=1)
            for name in ("rgb", "class_probability", "height_m", "shift_m")
        },
        **{name: np.repeat(getattr(bev, name), 6, axis=1) for name in ("views", "trips")},
    )
    with opened(write_geotiff("a", wide, small_site.road_map()), "class") as raster:
        assert raster.overviews(1)
        assert raster.block_shapes[0][1] == 512
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


def test_without_an_origin_there_is_no_coordinate_system_and_a_note(bev):
    local = write_geotiff("a", bev, small_site.road_map(origin=None))
    assert "--origin" in local.notes[0]
    with opened(local, "height") as raster:
        assert raster.crs is None
        assert raster.transform.c == -5.0
        assert np.nanmin(raster.read(1)) == pytest.approx(1.0 + -4.875 / 100)


def test_heights_that_are_not_finite_are_empty_cells_and_are_counted(bev):
    height = bev.height_m.copy()
    height[40, 100:103] = np.nan, np.inf, -np.inf
    broken = write_geotiff("a", replace(bev, height_m=height), small_site.road_map())
    assert broken.notes == ("3 seen cells have no finite height and are empty in the height raster",)
    with opened(broken, "height") as raster:
        assert np.isnan(raster.read(1)[40, 100:103]).all()
