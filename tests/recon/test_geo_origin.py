from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon.geo_origin import GeoOrigin, degrees_of, metres_of


@given(st.floats(-85, 85), st.floats(-8, 8))
def test_forward_and_back_meet(latitude, longitude):
    place = np.array([[longitude, latitude]])
    assert np.allclose(degrees_of(metres_of(place)), place, rtol=0, atol=1e-10)  # 10 micrometres


def test_it_is_the_projection_of_that_name():
    pyproj = pytest.importorskip("pyproj", reason="pyproj comes with roadscribe[geo]")
    reference = pyproj.Transformer.from_crs("EPSG:4326", "+proj=tmerc +k=1 +datum=WGS84", always_xy=True)
    lonlat = np.stack(np.meshgrid(np.linspace(-5, 5, 11), np.linspace(-85, 85, 35)), axis=-1).reshape(-1, 2)
    expected = np.stack(reference.transform(*lonlat.T), axis=-1)
    assert np.abs(metres_of(lonlat) - expected).max() < 1e-4


@pytest.mark.parametrize("latitude", [1.3, 44.0, 60.0])
def test_local_metres_are_those_of_the_tangent_plane(latitude):
    pyproj = pytest.importorskip("pyproj", reason="pyproj comes with roadscribe[geo]")
    frame = f"+proj=topocentric +ellps=WGS84 +lat_0={latitude} +lon_0=8.4"
    enu = pyproj.Transformer.from_pipeline(
        f"+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cart +ellps=WGS84 +step {frame}"
    )
    # An equirectangular plane is 5 m off at the last of these.
    xy = np.array([[100.0, 100.0], [1000.0, 1000.0], [5000.0, -5000.0]])
    lonlat = GeoOrigin(latitude_deg=latitude, longitude_deg=8.4).to_degrees(xy)
    east, north, _ = enu.transform(*lonlat.T, np.zeros(len(xy)))
    assert np.all(np.abs(np.stack([east, north], axis=1) - xy).max(axis=1) < [1e-5, 5e-5, 3e-3])


@given(st.floats(-80, 80), st.floats(-179, 179), st.floats(-5e3, 5e3), st.floats(-5e3, 5e3))
def test_degrees_and_metres_are_inverse(latitude, longitude, x, y):
    origin = GeoOrigin(latitude_deg=latitude, longitude_deg=longitude)
    xy = np.array([[x, y]])
    assert np.allclose(origin.to_metres(origin.to_degrees(xy)), xy, atol=1e-4)


def test_local_metres_agree_with_the_ellipsoid():
    # Length of one degree at 49 north on WGS84, from the series of the meridian and the parallel.
    origin = GeoOrigin(latitude_deg=49.0, longitude_deg=8.4)
    step = origin.to_metres(np.array([[9.4, 49.0], [8.4, 49.01]]))
    assert step[0, 0] == pytest.approx(73_171, rel=2e-4)
    assert step[1, 1] == pytest.approx(1_112.0, rel=2e-4)


def test_points_too_far_and_origins_off_earth_are_refused():
    with pytest.raises(ValueError, match="50 km"):
        GeoOrigin(latitude_deg=49.0, longitude_deg=8.4).to_degrees(np.array([[60_000.0, 0.0]]))
    with pytest.raises(ValueError, match="latitude -85"):
        GeoOrigin(latitude_deg=91.0, longitude_deg=8.4)
