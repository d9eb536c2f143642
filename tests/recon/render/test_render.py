"""The cpu renderer against the brute-force reference and against finite differences."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from recon.render import cpu, reference, vectorized
from recon.render.surfels import ALPHA_MAX, Rays, Renderer, Rendering, Surfels, gather_order

FLOAT_FIELDS = ("z", "tilt", "log_scale", "opacity", "features")
FAST: list[Renderer] = [cpu.render, vectorized.render]
NAMES = ["cpu", "vectorized"]


def road(
    *, cells: int = 24, channels: int = 6, roughness_m: float = 0.004, seed: int = 0, holes: bool = True
) -> Surfels:
    """A wavy road with random tilt, scale and opacity, some cells missing."""
    generator = torch.Generator().manual_seed(seed)
    row, column = torch.meshgrid(*[torch.arange(cells, dtype=torch.int32)] * 2, indexing="ij")
    keep = torch.rand(cells, cells, generator=generator) > (0.1 if holes else 0.0)
    index = torch.full((cells, cells), -1, dtype=torch.int32)
    index[keep] = torch.arange(int(keep.sum()), dtype=torch.int32)
    row, column = row[keep], column[keep]
    count = len(row)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return Surfels(
        index=index,
        row=row,
        column=column,
        cell_m=0.1,
        z=0.02 * torch.sin(column * 0.3) + roughness_m * normal(count),
        tilt=0.02 * normal(count, 2),
        log_scale=torch.log(torch.tensor(0.06)) + 0.1 * normal(count, 2).clamp(-2, 2),
        opacity=1.0 + normal(count),
        features=torch.rand(count, channels, generator=generator),
        geometry_channels=3,
    )


def rays_at(surfels: Surfels, *, origin: tuple[float, float, float], count: int = 150, seed: int = 1) -> Rays:
    """Rays from `origin` to random points of the road."""
    generator = torch.Generator().manual_seed(seed)
    size = surfels.index.shape[0] * surfels.cell_m
    aim = torch.cat([torch.rand(count, 2, generator=generator) * size, torch.zeros(count, 1)], dim=1)
    start = torch.tensor(origin)
    ahead = torch.tensor([size / 2, size / 2]) - start[:2]
    return Rays(origin=start, direction=aim - start, forward=ahead / ahead.norm())


ORIGINS = [(1.2, -2.0, 1.5), (5.0, 4.0, 1.6), (-1.0, 1.3, 2.5), (1.03, 1.11, 1.7)]


def gradients(render: Renderer, surfels: Surfels, rays: Rays) -> tuple[Rendering, dict[str, Tensor]]:
    leaves = {name: getattr(surfels, name).clone().requires_grad_() for name in FLOAT_FIELDS}
    rendering = render(replace(surfels, **leaves), rays)
    generator = torch.Generator().manual_seed(2)
    weights = torch.rand(rendering.features.shape, generator=generator)
    alpha_weights = torch.rand(rendering.alpha.shape, generator=generator)
    ((rendering.features * weights).sum() + (rendering.alpha * alpha_weights).sum()).backward()  # type: ignore[no-untyped-call]
    return rendering, {name: leaf.grad.double() for name, leaf in leaves.items()}


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("render", FAST, ids=NAMES)
def test_values_and_gradients_equal_the_reference(render: Renderer, origin: tuple[float, float, float]) -> None:
    surfels = road()
    rays = rays_at(surfels, origin=origin)
    fast, fast_gradients = gradients(render, surfels, rays)
    slow, slow_gradients = gradients(reference.render, surfels, rays)
    for a, b in zip(fast, slow, strict=True):
        assert torch.allclose(a.double(), b, atol=2e-4)
    for name in FLOAT_FIELDS:
        error = (fast_gradients[name] - slow_gradients[name]).norm() / slow_gradients[name].norm()
        assert error < 1e-3, name


def test_the_reference_equals_finite_differences() -> None:
    surfels = road(cells=6, channels=4)
    surfels = replace(surfels, **{name: getattr(surfels, name).double() for name in FLOAT_FIELDS})
    rays = rays_at(surfels, origin=(0.3, -1.0, 1.0), count=6)
    names = ("z", "tilt", "log_scale", "opacity")

    def composited(*values: Tensor) -> tuple[Tensor, Tensor]:
        live = replace(surfels, **dict(zip(names, values, strict=True)), geometry_channels=4)
        rendering = reference.render(live, rays)
        return rendering.features, rendering.alpha

    leaves = tuple(getattr(surfels, name).clone().requires_grad_() for name in names)
    assert torch.autograd.gradcheck(composited, leaves, eps=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", ["z", "tilt", "log_scale", "opacity", "features"])
def test_the_cpu_gradient_equals_finite_differences(name: str) -> None:
    surfels = road(cells=12, roughness_m=0.001)
    rays = rays_at(surfels, origin=(0.6, -1.5, 1.4), count=80)
    _, analytic = gradients(cpu.render, surfels, rays)
    generator = torch.Generator().manual_seed(2)
    weights = torch.rand((80, 6), generator=generator).double()
    # The last channels are composited with constant weights, so geometry must not feel them.
    if name != "features":
        weights[:, surfels.geometry_channels :] = 0
    alpha_weights = torch.rand(80, generator=generator).double()
    direction = torch.randn(getattr(surfels, name).shape, generator=generator).double()

    def loss(step: float) -> float:
        moved = replace(surfels, **{name: getattr(surfels, name).double() + step * direction})
        rendering = reference.render(moved, rays)
        return float((rendering.features * weights).sum() + (rendering.alpha * alpha_weights).sum())

    numeric = (loss(1e-6) - loss(-1e-6)) / 2e-6
    assert float((analytic[name] * direction).sum()) == pytest.approx(numeric, rel=2e-3, abs=1e-3)


@pytest.mark.parametrize("render", [cpu.render, vectorized.render, reference.render], ids=[*NAMES, "reference"])
class TestEveryRenderer:
    def test_rays_that_meet_nothing_give_zeros(self, render: Renderer) -> None:
        surfels = road(cells=8)
        away = Rays(
            origin=torch.tensor([50.0, 50.0, 1.0]),
            direction=torch.tensor([[1.0, 0.0, -0.5], [0.0, 1.0, -0.1]]),
            forward=torch.tensor([1.0, 0.0]),
        )
        rendering = render(surfels, away)
        assert not rendering.features.any()
        assert not rendering.alpha.any()

    def test_one_opaque_surfel_seen_from_above(self, render: Renderer) -> None:
        surfels = replace(
            road(cells=1, holes=False),
            z=torch.zeros(1),
            tilt=torch.zeros(1, 2),
            opacity=torch.full((1,), 20.0),
            log_scale=torch.full((1, 2), 0.05).log(),
        )
        down = Rays(
            origin=torch.tensor([0.05, 0.05, 2.0]),
            direction=torch.tensor([[0.0, 0.0, -1.0], [0.025, 0.0, -1.0], [0.2, 0.0, -1.0]]),
            forward=torch.tensor([0.0, 1.0]),
        )
        rendering = render(surfels, down)
        beside = torch.exp(torch.tensor(-0.5))  # one standard deviation away
        assert rendering.alpha.tolist() == pytest.approx([ALPHA_MAX, float(beside), 0.0], abs=1e-5)
        assert torch.allclose(rendering.features[1].float(), beside * surfels.features[0], atol=1e-5)
        assert float(rendering.depth[0]) == pytest.approx(2.0 * ALPHA_MAX, abs=1e-5)

    def test_class_channels_do_not_move_geometry(self, render: Renderer) -> None:
        surfels = road(cells=10)
        rays = rays_at(surfels, origin=(0.5, -1.0, 1.5), count=40)
        z = surfels.z.clone().requires_grad_()
        features = surfels.features.clone().requires_grad_()
        render(replace(surfels, z=z, features=features), rays).features[:, 3:].sum().backward()  # type: ignore[no-untyped-call]
        assert z.grad is None or not z.grad.any()
        assert features.grad is not None
        assert features.grad[:, 3:].any()


def test_the_result_does_not_depend_on_the_number_of_threads() -> None:
    import numba

    surfels = road(cells=40)
    rays = rays_at(surfels, origin=(2.0, -1.0, 1.5), count=2000)
    results = []
    before = numba.get_num_threads()
    try:
        for threads in (1, before):
            numba.set_num_threads(threads)
            results.append(gradients(cpu.render, surfels, rays))
    finally:
        numba.set_num_threads(before)
    (first, first_gradients), (second, second_gradients) = results
    assert torch.equal(first.features, second.features)
    assert all(torch.equal(first_gradients[name], second_gradients[name]) for name in FLOAT_FIELDS)


def test_the_neighbourhood_is_walked_front_to_back() -> None:
    order = gather_order(torch.tensor([0.6, 0.8]))
    depth = order[:, 1] * 0.6 + order[:, 0] * 0.8
    assert len(set(map(tuple, order.tolist()))) == 25
    assert bool((depth[1:] >= depth[:-1] - 1e-6).all())
