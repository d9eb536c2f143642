"""Each term on its own, and that masked pixels cannot change anything."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from recon.classes import CLASS_COUNT, RoadClass
from recon.fit.losses import Exposure, Target, losses, smoothness, smoothness_in_torch
from recon.render.surfels import Rendering, Surfels


def plane(*, slope: tuple[float, float] = (0.2, -0.1), cells: int = 6) -> Surfels:
    row, column = torch.meshgrid(*[torch.arange(cells, dtype=torch.int32)] * 2, indexing="ij")
    row, column = row.reshape(-1), column.reshape(-1)
    count = cells * cells
    return Surfels(
        index=torch.arange(count, dtype=torch.int32).reshape(cells, cells),
        row=row,
        column=column,
        cell_m=0.1,
        z=0.1 * (slope[0] * column + slope[1] * row),
        tilt=torch.tensor([slope]).repeat(count, 1),
        log_scale=torch.zeros(count, 2),
        opacity=torch.zeros(count),
        features=torch.zeros(count, 3),
        geometry_channels=3,
    )


def pixels(count: int = 4) -> tuple[Rendering, Target]:
    rgb = torch.full((count, 3), 0.5)
    probability = torch.full((count, CLASS_COUNT), 0.1)
    probability[:, RoadClass.ROAD] = 0.2
    features = torch.cat([rgb, probability], dim=1).requires_grad_()
    target = Target(
        rgb=rgb.clone(),
        ids=torch.full((count,), int(RoadClass.ROAD)),
        confidence=torch.ones(count),
        runner_up=torch.full((count,), int(RoadClass.UNKNOWN)),
        runner_up_confidence=torch.zeros(count),
        ground=torch.ones(count, dtype=torch.bool),
    )
    return Rendering(features, torch.ones(count), torch.ones(count)), target


def no_lidar(surfels: Surfels) -> Tensor:
    return torch.full_like(surfels.z, float("nan"))


def test_any_plane_is_smooth_and_a_step_is_not() -> None:
    assert float(smoothness(plane())) < 1e-7
    step = plane(slope=(0.0, 0.0))
    kerb = replace(step, z=(step.column >= 3).float() * 0.12)
    assert float(smoothness(kerb)) > 0.01


def test_smoothness_equals_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    surfels = plane()
    rough = replace(
        surfels,
        z=surfels.z + 0.01 * torch.randn(36, generator=generator),
        tilt=surfels.tilt + 0.05 * torch.randn(36, 2, generator=generator),
    )
    slow = []
    for i in range(36):
        for axis, (dr, dc) in enumerate(((0, 1), (1, 0))):
            r, c = i // 6 + dr, i % 6 + dc
            if r < 6 and c < 6:
                j = r * 6 + c
                step = rough.z[j] - rough.z[i] - 0.05 * (rough.tilt[i, axis] + rough.tilt[j, axis])
                bends = [0.1 * (rough.tilt[j, k] - rough.tilt[i, k]) for k in (0, 1)]
                slow.append(sum(torch.sqrt(v * v + 1e-4) - 0.01 for v in bends))
                slow.append(torch.sqrt(step * step + 1e-4) - 0.01)
    assert torch.isclose(smoothness(rough), torch.stack(slow).mean() / 0.1, rtol=1e-4)


def test_smoothness_in_torch_equals_the_kernel_in_value_and_gradient() -> None:
    generator = torch.Generator().manual_seed(1)
    surfels = plane()
    index = surfels.index.clone()
    index[2, 3], index[4, :2] = -1, -1  # holes
    slopes = []
    for smooth in (smoothness, smoothness_in_torch):
        generator.manual_seed(1)
        z = (surfels.z + 0.01 * torch.randn(36, generator=generator)).requires_grad_()
        tilt = (surfels.tilt + 0.05 * torch.randn(36, 2, generator=generator)).requires_grad_()
        # A hole's own surfel still looks for neighbours in the kernel: leave it out altogether.
        kept = torch.isin(torch.arange(36), index)
        holed = replace(
            surfels,
            index=torch.full_like(index, -1).index_put(
                (surfels.row[kept], surfels.column[kept]), torch.arange(int(kept.sum()), dtype=torch.int32)
            ),
            row=surfels.row[kept],
            column=surfels.column[kept],
            z=z[kept],
            tilt=tilt[kept],
        )
        value = smooth(holed)
        value.backward()
        slopes.append((value.detach(), z.grad, tilt.grad))
    for kernel, twin in zip(*slopes, strict=True):
        assert torch.allclose(kernel, twin, rtol=1e-4, atol=1e-6)


def test_class_loss_is_the_log_of_the_composited_probability() -> None:
    rendering, target = pixels()
    values = losses(rendering, target, plane(), no_lidar(plane()), Exposure(["c"]), "c")
    assert torch.isclose(values["class"], -torch.log(torch.tensor(0.2)))
    assert float(values["rgb"].detach()) == 0.0
    assert "lidar" not in values


def test_the_runner_up_pulls_too() -> None:
    rendering, target = pixels(1)
    shared = replace(
        target,
        confidence=torch.tensor([0.6]),
        runner_up=torch.tensor([int(RoadClass.LANE_MARKING)]),
        runner_up_confidence=torch.tensor([0.4]),
    )
    value = losses(rendering, shared, plane(), no_lidar(plane()), Exposure(["c"]), "c")["class"]
    expected = -(0.6 * torch.log(torch.tensor(0.2)) + 0.4 * torch.log(torch.tensor(0.1)))
    assert torch.isclose(value, expected)
    value.backward()  # type: ignore[no-untyped-call]
    assert rendering.features.grad is not None
    assert rendering.features.grad[0, 3 + RoadClass.LANE_MARKING] < 0


def test_pixels_that_meet_no_surface_or_no_ground_change_nothing() -> None:
    rendering, target = pixels()
    base = losses(rendering, target, plane(), no_lidar(plane()), Exposure(["c"]), "c")
    alpha = torch.tensor([1.0, 1.0, 1.0, 0.1])
    wrong_rgb = target.rgb.clone()
    wrong_rgb[2:] = 9.0
    masked = replace(target, rgb=wrong_rgb, ground=torch.tensor([True, True, False, True]))
    values = losses(rendering._replace(alpha=alpha), masked, plane(), no_lidar(plane()), Exposure(["c"]), "c")
    assert torch.isclose(values["rgb"], base["rgb"])
    values["rgb"].backward()  # type: ignore[no-untyped-call]
    assert rendering.features.grad is not None
    assert not rendering.features.grad[2:, :3].any()


def test_lidar_pulls_only_measured_surfels_and_shrugs_at_outliers() -> None:
    surfels = plane(slope=(0.0, 0.0))
    z = surfels.z.clone().requires_grad_()
    lidar = no_lidar(surfels)
    lidar[0], lidar[1] = 0.01, 10.0
    rendering, target = pixels()
    values = losses(rendering, target, replace(surfels, z=z), lidar, Exposure(["c"]), "c")
    values["lidar"].backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    assert set(torch.nonzero(z.grad).flatten().tolist()) == {0, 1}
    assert abs(float(z.grad[1])) <= 0.5 + 1e-6  # linear: an outlier pulls no harder than its share


def test_exposure_of_one_camera_leaves_the_others() -> None:
    exposure = Exposure(["a", "b"])
    (exposure.apply("a", torch.ones(2, 3)) - 2.0).square().mean().backward()  # type: ignore[no-untyped-call]
    exposure.step()
    record = exposure.record()
    assert record["a"] != (0.0, 0.0)
    assert record["b"] == (0.0, 0.0)
