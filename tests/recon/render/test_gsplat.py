"""The gsplat renderer against the reference: here through a slow twin of gsplat's functions, on CUDA through gsplat."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import slope_world
import torch
from splat_road import camera, road
from splat_twin import Twin
from torch import Tensor

from recon.config import FitConfig
from recon.errors import Cancelled, ConfigInvalid
from recon.fit.fit import fit
from recon.render import cpu, gsplat, gsplat_kernels, reference, vectorized
from recon.render.surfels import ALPHA_MAX, Q_MAX, Rays, Renderer, Rendering, Surfels, moved
from recon.views.views import Trip

FLOAT_FIELDS = ("z", "tilt", "log_scale", "opacity", "features")
OUR_CUTS = Twin(q_max=Q_MAX, alpha_min=0.0, alpha_max=ALPHA_MAX, passed_min=0.0)
# At this opacity a surfel fades to 1/255, where the kernels cut, at Q_MAX, where we do.
COMMON_OPACITY = math.exp(Q_MAX / 2) / 255
COMMON_LOGIT = math.log(COMMON_OPACITY / (1 - COMMON_OPACITY))
CUDA = torch.device("cuda")


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> Callable[[Twin], None]:
    def use(functions: Twin) -> None:
        monkeypatch.setattr(gsplat_kernels, "load", lambda: functions)

    return use


@pytest.fixture
def cuda() -> torch.device:
    try:
        gsplat_kernels.load()
    except ConfigInvalid as error:
        pytest.skip(str(error))
    return CUDA


def gradients(render: Renderer, surfels: Surfels, rays: Rays) -> tuple[Rendering, dict[str, Tensor]]:
    leaves = {name: getattr(surfels, name).clone().requires_grad_() for name in FLOAT_FIELDS}
    rendering = render(replace(surfels, **leaves), rays)
    generator = torch.Generator().manual_seed(2)
    weights = torch.rand(rendering.features.shape, generator=generator).to(rays.origin.device)
    alpha_weights = torch.rand(rendering.alpha.shape, generator=generator).to(rays.origin.device)
    ((rendering.features * weights).sum() + (rendering.alpha * alpha_weights).sum()).backward()  # type: ignore[no-untyped-call]
    return moved_to_cpu(rendering), {name: leaf.grad.double().cpu() for name, leaf in leaves.items()}


def moved_to_cpu(rendering: Rendering) -> Rendering:
    return Rendering(*(tensor.detach().cpu() for tensor in rendering))


def relative(value: Tensor, expected: Tensor) -> float:
    return float((value.double() - expected.double()).norm() / expected.double().norm())


def assert_equal(
    fast: tuple[Rendering, dict[str, Tensor]],
    slow: tuple[Rendering, dict[str, Tensor]],
    *,
    values: float = 1e-3,
    slopes: float = 1e-3,
) -> None:
    assert relative(fast[0].features, slow[0].features) < values
    assert relative(fast[0].alpha, slow[0].alpha) < values
    assert relative(fast[0].depth, slow[0].depth) < 2e-2  # gsplat's is that of the centres
    for name in FLOAT_FIELDS:
        assert relative(fast[1][name], slow[1][name]) < slopes, name


@pytest.mark.parametrize("stand", [(0.4, -0.2), (0.5, 0.4)], ids=["before the road", "on the road"])
def test_with_the_same_cuts_values_and_gradients_equal_the_reference(
    twin: Callable[[Twin], None], stand: tuple[float, float]
) -> None:
    twin(OUR_CUTS)
    surfels = road(cells=22, tilt=0.1)
    rays = camera(surfels, stand=stand)
    assert_equal(
        gradients(gsplat.render, surfels, rays), gradients(reference.render, surfels, rays), values=1e-5, slopes=1e-4
    )


def test_where_the_cuts_agree_it_equals_reference_and_cpu(twin: Callable[[Twin], None]) -> None:
    twin(Twin())
    surfels = road(cells=22, opacity=COMMON_LOGIT)
    rays = camera(surfels, yaw=0.2)
    splatted = gradients(gsplat.render, surfels, rays)
    assert_equal(splatted, gradients(reference.render, surfels, rays))
    assert_equal(splatted, gradients(cpu.render, surfels, rays))


def test_the_kernels_own_cuts_change_little(twin: Callable[[Twin], None]) -> None:
    twin(Twin())
    surfels = road(cells=22)
    rays = camera(surfels)
    # What docs/gpu.md states: surfels are there to 3.3 standard deviations instead of 3.
    splatted, expected = gradients(gsplat.render, surfels, rays), gradients(reference.render, surfels, rays)
    assert_equal(splatted, expected, values=1e-2, slopes=5e-2)


def test_the_box_of_a_surfel_holds_every_pixel_that_sees_it() -> None:
    surfels = road(cells=12)
    rays = camera(surfels, width_px=96, height_px=64, height_m=0.5)
    assert rays.raster is not None
    maps = gsplat.image_maps(surfels, rays.origin, rays.raster.pixel_from_direction)
    opacity = torch.sigmoid(surfels.opacity)
    centre, radius = gsplat.extents(maps, opacity, rays.raster)
    row, column = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(96) + 0.5, indexing="ij")
    at = torch.stack([column, row], dim=-1).reshape(-1, 1, 2)
    u, v, w = maps.double().unbind(dim=1)
    crossing = torch.linalg.cross(at[..., :1] * w - u, at[..., 1:] * w - v)
    q = (crossing[..., :2] / crossing[..., 2:]).square().sum(dim=2)
    seen = opacity * torch.exp(-q / 2) >= gsplat.ALPHA_MIN
    boxed = ((at - centre).abs() <= radius).all(dim=2) & (radius > 0).all(dim=1)
    assert seen.any()
    assert not (seen & ~boxed).any()
    assert boxed.sum() < 6 * seen.sum()


def test_class_channels_do_not_move_geometry(twin: Callable[[Twin], None]) -> None:
    twin(Twin())
    surfels = road(cells=10)
    z = surfels.z.clone().requires_grad_()
    features = surfels.features.clone().requires_grad_()
    gsplat.render(replace(surfels, z=z, features=features), camera(surfels)).features[:, 3:].sum().backward()
    assert z.grad is None or not z.grad.any()
    assert features.grad is not None
    assert features.grad[:, 3:].any()


def test_rays_that_meet_nothing_give_zeros(twin: Callable[[Twin], None]) -> None:
    twin(Twin())
    surfels = road(cells=8)
    rays = camera(surfels)
    away = replace(surfels, z=surfels.z + 50.0)  # behind the camera's back
    rendering = gsplat.render(away, rays)
    assert not rendering.features.any()
    assert not rendering.alpha.any()


def test_rays_of_no_image_are_refused() -> None:
    surfels = road(cells=4)
    with pytest.raises(ValueError, match="pixels of an image"):
        gsplat.render(surfels, replace(camera(surfels), raster=None))


@pytest.mark.slow
def test_the_rays_of_a_fit_know_their_pixels(
    twin: Callable[[Twin], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drive, labels = slope_world.write_drive(tmp_path, frames=3)
    twin(OUR_CUTS)

    def both(surfels: Surfels, rays: Rays) -> Rendering:
        # Looking exactly along an axis, whole rows of surfels are equally far, and have no order.
        askew = replace(rays, forward=torch.tensor([math.cos(1e-3), math.sin(1e-3)]))
        splatted, expected = gsplat.render(surfels, askew), cpu.render(surfels, askew)
        assert relative(splatted.features.detach(), expected.features.detach()) < 1e-3
        raise Cancelled

    monkeypatch.setattr("recon.fit.fit.choose", lambda name: (both, torch.device("cpu")))
    config = FitConfig(corridor_m=3.0, max_distance_m=4.0, cell_m=0.2)
    with pytest.raises(Cancelled):
        fit([Trip(drive=drive, labels=labels)], config)


@pytest.mark.slow
def test_the_kernels_cuts_hardly_change_a_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drive, labels = slope_world.write_drive(tmp_path)
    trips, config = [Trip(drive=drive, labels=labels)], FitConfig(corridor_m=6.0, max_distance_m=12.0, renderer="cpu")
    here = fit(trips, config)
    monkeypatch.setattr(vectorized, "Q_MAX", 2 * math.log(255))
    monkeypatch.setattr(vectorized, "ALPHA_MAX", gsplat.ALPHA_MAX)
    monkeypatch.setattr("recon.fit.fit.choose", lambda name: (vectorized.render, torch.device("cpu")))
    there = fit(trips, config)
    well_seen = (here.views >= 2) & (here.nearest_view_m < 8.0)
    change_m = np.abs(here.z - there.z)[well_seen]
    same = (here.class_logits.argmax(axis=1) == there.class_logits.argmax(axis=1))[well_seen].mean()
    middle_m, most_m = np.quantile(change_m, (0.5, 0.95))
    print(f"heights {1e3 * middle_m:.3f} mm median, {1e3 * most_m:.3f} mm 95 %, same class {same:.5f}")
    assert middle_m < 1e-4
    assert most_m < 1e-3
    assert same > 0.999


@pytest.mark.gpu
class TestOnCuda:
    def test_it_equals_its_twin(self, cuda: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
        surfels = road()
        rays = camera(surfels)
        there = gradients(gsplat.render, moved(surfels, cuda), moved(rays, cuda))
        monkeypatch.setattr(gsplat_kernels, "load", Twin)
        assert_equal(there, gradients(gsplat.render, surfels, rays))

    def test_where_the_cuts_agree_it_equals_reference_and_cpu(self, cuda: torch.device) -> None:
        surfels = road(opacity=COMMON_LOGIT)
        rays = camera(surfels, yaw=0.2)
        there = gradients(gsplat.render, moved(surfels, cuda), moved(rays, cuda))
        assert_equal(there, gradients(reference.render, surfels, rays))
        assert_equal(there, gradients(cpu.render, surfels, rays))

    def test_no_channel_count_brings_a_nan(self, cuda: torch.device) -> None:
        torch.empty(1 << 22, device=cuda).fill_(math.nan)  # what the allocator hands out next
        surfels = moved(road(), cuda)
        rays = moved(camera(road()), cuda)
        _, slopes = gradients(gsplat.render, surfels, rays)
        assert all(bool(torch.isfinite(slope).all()) for slope in slopes.values())

    def test_a_fit_finds_the_same_road_as_on_the_cpu(self, cuda: torch.device, tmp_path: Path) -> None:
        drive, labels = slope_world.write_drive(tmp_path)
        config = FitConfig(corridor_m=8.0, max_distance_m=15.0)
        trips = [Trip(drive=drive, labels=labels)]
        here, there = (fit(trips, replace(config, renderer=name)) for name in ("cpu", "gsplat"))
        well_seen = (here.views >= 2) & (here.nearest_view_m < 8.0)
        assert abs(here.z - there.z)[well_seen].mean() < 0.005
        assert (here.class_logits.argmax(axis=1) == there.class_logits.argmax(axis=1))[well_seen].mean() > 0.99
