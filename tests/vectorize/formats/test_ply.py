from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import plyfile
import pytest
import small_site
from scipy.spatial.transform import Rotation

from recon.errors import ArtifactInvalid
from vectorize.formats.ply import PROPERTIES, SH_DEGREE_0, THICKNESS_M, write_ply


def read_back(surface):
    ply = plyfile.PlyData.read(io.BytesIO(write_ply("a", surface).files["a.ply"]))
    assert (ply.text, ply.byte_order) == (False, "<")
    return ply["vertex"]


def test_every_surfel_is_the_ellipse_the_renderers_draw():
    surface = small_site.surface()
    vertex = read_back(surface)
    assert [p.name for p in vertex.properties] == list(PROPERTIES)
    centre = surface.grid.to_m(np.stack([surface.column + 0.5, surface.row + 0.5], axis=1))
    assert np.allclose(np.c_[vertex["x"], vertex["y"]], centre, atol=1e-5)
    assert np.array_equal(vertex["z"], surface.z)
    assert np.array_equal(vertex["opacity"], surface.opacity)
    colour = 0.5 + SH_DEGREE_0 * np.c_[vertex["f_dc_0"], vertex["f_dc_1"], vertex["f_dc_2"]]
    assert np.allclose(colour, surface.rgb, atol=1e-6)
    scale = np.exp(np.c_[vertex["scale_0"], vertex["scale_1"], vertex["scale_2"]].astype(float))
    assert np.all(scale[:, 0] >= scale[:, 1])
    for i in range(surface.count):
        rotation = Rotation.from_quat([vertex[f"rot_{k}"][i] for k in (1, 2, 3, 0)]).as_matrix()
        normal = np.array([vertex[k][i] for k in ("nx", "ny", "nz")])
        plane = np.array([*-surface.tilt[i], 1.0])
        assert np.allclose(normal, plane / np.linalg.norm(plane), atol=1e-5)
        assert np.allclose(rotation[:, 2], normal, atol=1e-5)
        # The slow twin: a point one standard deviation from the centre in plan, lifted onto the surfel's plane, lies
        # one Mahalanobis unit away in the exported ellipse.
        for angle in (0.0, 0.7, 2.0):
            sx, sy = np.exp(surface.log_scale[i].astype(float))
            dx, dy = sx * np.cos(angle), sy * np.sin(angle)
            point = np.array([dx, dy, surface.tilt[i] @ [dx, dy]])
            local = rotation.T @ point
            assert np.sum((local[:2] / scale[i, :2]) ** 2) == pytest.approx(1.0, abs=1e-4)
            assert local[2] == pytest.approx(0.0, abs=1e-6)
    assert np.allclose(scale[:, 2], THICKNESS_M)


def test_no_surfels_are_a_valid_empty_file():
    assert len(read_back(small_site.surface(0)).data) == 0


@pytest.mark.parametrize("field", ["z", "tilt", "opacity", "log_scale", "rgb"])
def test_a_surfel_that_is_not_finite_is_refused(field):
    surface = small_site.surface(5)
    values = getattr(surface, field).copy()
    values[3] = np.nan
    with pytest.raises(ArtifactInvalid) as caught:
        write_ply("a", replace(surface, **{field: values}))
    assert caught.value.where == "surfel 3 of 5"
