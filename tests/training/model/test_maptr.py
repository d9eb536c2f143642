"""The model as a whole: shapes, branches kept apart, cameras that are missing, and reduced precision."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from random_views import random_views, small_config

from training.model.maptr import MapTR


@pytest.mark.parametrize("lift", ["ipm", "lss"])
def test_shapes_follow_the_settings(lift: str) -> None:
    config = small_config(lift=lift, heights_m=(0.0, 0.4))
    output = MapTR(config).train()(random_views(config))
    assert output.logits.shape == (2, 2, 10, 4)
    assert output.points.shape == (2, 2, 10, 5, 2)
    assert output.instances.shape == (2, 10, 16)
    assert output.bev.shape == (2, 16, 24, 16)
    assert output.bev_logits is not None
    assert output.bev_logits.shape == (2, 4, 24, 16)
    assert output.view_logits is not None
    assert output.view_logits.shape == (2, 3, 3, 2, 4)
    if lift == "lss":
        assert output.depth_logits is not None
        assert output.depth_logits.shape == (2, 3, 10, 2, 4)
    else:
        assert output.depth_logits is None
    assert bool(((output.points >= 0.0) & (output.points <= 1.0)).all())


@pytest.mark.parametrize("cameras", [1, 7])
def test_any_number_of_cameras_and_any_patch(cameras: int) -> None:
    config = small_config(bev_px=(17, 33), bev_head=False, view_head=False, instances_many=0)
    output = MapTR(config)(random_views(config, cameras=cameras))
    assert output.points.shape == (2, 2, 4, 5, 2)
    assert output.bev.shape == (2, 16, 17, 33)
    assert output.bev_logits is None
    assert output.view_logits is None


def test_the_one_to_many_branch_changes_nothing_of_the_other() -> None:
    config = small_config()
    model, views = MapTR(config).eval(), random_views(config)
    with torch.no_grad():
        alone, both = model(views), model(views, many=True)
    assert alone.points.shape[2] == 4
    assert both.points.shape[2] == 10
    one = both.branch(many=False)
    torch.testing.assert_close(one.points, alone.points)
    torch.testing.assert_close(one.logits, alone.logits)
    assert both.branch(many=True).points.shape[2] == 6


@pytest.mark.parametrize("lift", ["ipm", "lss"])
@pytest.mark.parametrize("training", [False, True])
def test_an_absent_camera_has_no_influence(lift: str, training: bool) -> None:
    config = small_config(lift=lift)
    model = MapTR(config).train(training)
    views = random_views(config)
    torch.manual_seed(0)
    before = model(views)
    other = random_views(config, seed=1)
    absent = ~views.present
    noisy = replace(
        views,
        images=torch.where(absent[..., None, None, None], torch.randint_like(views.images, 256), views.images),
        cell_uv=torch.where(absent[..., None, None, None, None], other.cell_uv, views.cell_uv),
        rays=torch.where(absent[..., None, None, None], other.rays, views.rays),
        origins=torch.where(absent[..., None], other.origins, views.origins),
    )
    after = model(noisy)
    torch.testing.assert_close(after.bev, before.bev, rtol=0.0, atol=1e-6)
    torch.testing.assert_close(after.points, before.points, rtol=0.0, atol=1e-6)
    torch.testing.assert_close(after.logits, before.logits, rtol=0.0, atol=1e-5)


def test_samples_of_a_batch_do_not_meet() -> None:
    config = small_config()
    model, views = MapTR(config).eval(), random_views(config)
    with torch.no_grad():
        both = model(views)
        first = model(replace(views, **{n: getattr(views, n)[:1] for n in views.__dataclass_fields__}))
    torch.testing.assert_close(both.points[:, :1], first.points, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("lift", ["ipm", "lss"])
def test_every_parameter_learns(lift: str) -> None:
    config = small_config(lift=lift)
    model = MapTR(config).train()
    with torch.no_grad():  # the last layers of the point heads start at zero, and so would the gradients behind them
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    output = model(random_views(config))
    parts = [output.logits, output.points, output.bev_logits, output.view_logits, output.depth_logits]
    sum(part.square().sum() for part in parts if part is not None).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert not silent


@pytest.mark.parametrize("lift", ["ipm", "lss"])
def test_bfloat16_is_near_float32_and_keeps_points_exact(lift: str) -> None:
    config = small_config(lift=lift)
    model, views = MapTR(config).eval(), random_views(config)
    with torch.no_grad():
        exact = model(views)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(views)
    assert rounded.points.dtype == torch.float32
    assert rounded.logits.dtype == torch.float32
    assert float((rounded.points - exact.points).abs().max()) < 0.02
    assert float((rounded.logits - exact.logits).abs().max()) < 0.2
