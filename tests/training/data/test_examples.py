"""Samples become batches; a mirrored sample is the sample of the mirrored world."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import small_shards
import torch
from small_shards import MODEL, PACK

from recon.errors import ArtifactInvalid, ConfigInvalid, ImageInvalid
from recon.segment.net_frame import NetFrame
from training.data.augment import augmented, mirrored, repainted
from training.data.collate import collate
from training.data.config import AugmentConfig, DataConfig, SourceConfig
from training.data.example import example_of
from training.data.rig import UNSEEN
from training.data.sampling import Examples, open_pools
from training.data.shard_pool import ShardPool
from training.data.view_targets import NOT_LABELLED

PLAIN = AugmentConfig(mirror=0.0, color=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    small_shards.write(folder, name="a", frames=5)
    small_shards.write(folder, name="b", frames=4, elements=small_shards.ELEMENTS[:1])
    return folder / "shards"


@pytest.fixture(scope="module")
def pool(folder):
    return ShardPool.open([folder], MODEL)


def data_config(folder, **changes):
    return DataConfig(sources=(SourceConfig(folders=(str(folder),)),), **changes)


def test_an_example_has_the_sizes_of_the_model(pool):
    one = example_of(pool.read(1), MODEL, weight=0.5)
    views = one.views
    assert [image.shape for image in views.images] == [(32, 64, 3)] * 2
    assert views.present.tolist() == [True, True]
    assert views.cell_uv.shape == (2, 1, 40, 20, 2)
    assert (views.rays.shape, views.image_cells.shape) == ((2, 4, 8, 3), (2, 4, 8))
    assert one.targets.points.shape == (3, 8, 2)  # the model has no class for centre lines
    assert one.view_targets.shape == (2, 3, 4, 8)
    assert one.depth.shape == (2, 4, 8)
    assert one.depth.max() > 5
    assert (one.weight, one.drive, one.known.mean()) == (0.5, "a", 0.5)
    stored = cv2.imdecode(np.frombuffer(pool.read(1).images["front"], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    frame = NetFrame.of((64, 48), (64, 32))
    assert np.abs(views.images[0].astype(int) - frame.to_net(np.ascontiguousarray(stored)).astype(int)).max() <= 1
    assert example_of(pool.read(1), replace(MODEL, lift="ipm", view_head=False)).depth is None
    only = example_of(pool.read(1), MODEL, cameras=("cam.left",))
    assert np.array_equal(only.views.images[0], views.images[1])


def test_a_mirrored_sample_agrees_with_itself(pool):
    one = example_of(pool.read(2), MODEL)
    other = mirrored(one)
    twice = mirrored(other)
    assert np.array_equal(twice.views.images, one.views.images)
    for name in ("cell_uv", "rays", "origins", "image_cells"):
        assert np.allclose(getattr(twice.views, name), getattr(one.views, name), atol=1e-6)
    columns = MODEL.bev_px[1]
    for v in range(2):
        for row, column in np.argwhere(one.views.cell_uv[v, 0, ..., 0] != UNSEEN)[::37].tolist():
            u, w = one.views.cell_uv[v, 0, row, column]
            mirror = other.views.cell_uv[v, 0, row, columns - 1 - column]  # the same ground, left and right exchanged
            assert mirror == pytest.approx([1 - u, w], abs=1e-6)
            x, y = min(int(u * 64), 63), min(int(w * 32), 31)
            assert np.array_equal(other.views.images[v][y, 63 - x], one.views.images[v][y, x])
    # A point on a ray of the mirrored camera is the mirrored point on the ray of the flipped cell.
    v, row, column = np.argwhere(one.views.image_cells)[5]
    point = one.views.origins[v] + 4 * one.views.rays[v, row, column]
    again = other.views.origins[v] + 4 * other.views.rays[v, row, 7 - column]
    assert again == pytest.approx(point * (1, -1, 1), abs=1e-5)
    ego = [MODEL.patch.to_ego(e.targets.points.astype(np.float64)) for e in (one, other)]
    assert ego[1] == pytest.approx(ego[0] * (1, -1), abs=1e-4)
    assert np.array_equal(other.targets.bev, one.targets.bev[..., ::-1])
    assert np.array_equal(other.known, one.known[:, ::-1])
    assert np.array_equal(other.view_targets, one.view_targets[..., ::-1])
    assert np.array_equal(other.depth, one.depth[..., ::-1])


def test_colours_change_and_missing_images_stay_missing(pool):
    one = example_of(pool.read(0), MODEL)
    images = repainted((*one.views.images, None), 1.0, np.random.default_rng(1))
    assert images[2] is None
    for image, was in zip(images, one.views.images, strict=False):
        assert image.shape == was.shape
        assert 2 < np.abs(image.astype(int) - was).mean() < 60
    assert np.array_equal(repainted(one.views.images, 0.0, np.random.default_rng(1)), one.views.images)


def test_lost_cameras_show_nothing_and_one_stays(pool):
    one = example_of(pool.read(0), MODEL)
    config = AugmentConfig(mirror=0.0, color=0.0, drop_camera=0.9)
    lost = [augmented(one, config, np.random.default_rng(seed)) for seed in range(20)]
    assert all(example.views.present.any() for example in lost)
    assert any(not example.views.present.all() for example in lost)
    for example in lost:
        views = example.views
        gone = ~views.present
        assert [image is None for image in views.images] == gone.tolist()
        assert not views.image_cells[gone].any()
        assert (views.cell_uv[gone] == UNSEEN).all()
        assert (example.view_targets[gone] == NOT_LABELLED).all()
        assert not example.depth[gone].any()
        assert np.array_equal(example.view_targets[~gone], one.view_targets[~gone])
        assert np.array_equal(example.depth[~gone], one.depth[~gone])
    assert (one.view_targets != NOT_LABELLED).any(axis=(1, 2, 3)).all()  # the sample itself stays as it was
    bare = augmented(replace(one, view_targets=None, depth=None), config, np.random.default_rng(0))
    assert bare.view_targets is bare.depth is None


def test_a_camera_without_an_image_teaches_nothing(pool):
    sample = pool.read(0)
    whole = example_of(sample, MODEL)
    part = example_of(replace(sample, images={"cam-left": sample.images["cam-left"]}), MODEL)
    assert part.views.present.tolist() == [False, True]
    assert (part.view_targets[0] == NOT_LABELLED).all()
    assert not part.depth[0].any()
    assert np.array_equal(part.view_targets[1], whole.view_targets[1])
    assert np.array_equal(part.depth[1], whole.depth[1])


def test_a_batch_pads_cameras_and_elements(pool):
    full = example_of(pool.read(0), MODEL, weight=0.25)
    few = example_of(pool.read(6), MODEL, cameras=("front",))
    bare = example_of(replace(pool.read(7), ids={}, depth={}), MODEL)
    batch = collate([full, few, bare])
    assert batch.views.images.shape == (3, 2, 3, 32, 64)
    assert batch.views.present.tolist() == [[True, True], [True, False], [True, True]]
    assert (batch.views.cell_uv[1, 1] == UNSEEN).all()
    assert not batch.views.images[1, 1].any()
    assert batch.views.images[0, 1].permute(1, 2, 0).equal(torch.from_numpy(full.views.images[1]))
    assert batch.labels.classes.tolist() == [[0, 1, 2], [0, -1, -1], [0, -1, -1]]
    assert batch.labels.points.shape == (3, 3, 8, 2)
    assert batch.labels.weight.tolist() == [0.25, 1.0, 1.0]
    assert batch.labels.views.shape == (3, 2, 3, 4, 8)
    assert (batch.labels.views[1, 1] == 255).all()
    assert (batch.labels.views[2] == 255).all()
    assert (batch.labels.depth[2] == 0).all()
    assert batch.world_from_ego.dtype == torch.float64
    assert batch.drives == ("a", "b", "b")
    assert collate([bare]).labels.views is None
    with pytest.raises(ConfigInvalid, match="different sizes"):
        collate([full, replace(few, known=np.ones((3, 3), bool))])


def test_a_batch_without_any_element_has_none(tmp_path):
    pool = ShardPool.open([small_shards.write(tmp_path, frames=2, elements=())], MODEL)
    labels = collate([example_of(pool.read(i), MODEL) for i in range(2)]).labels
    assert labels.points.shape == (2, 0, 8, 2)
    assert labels.classes.shape == (2, 0)


def test_examples_depend_on_seed_step_and_place_alone(folder):
    data = data_config(folder, seed=4)
    one, two = (Examples(open_pools(data, MODEL), MODEL, data, batch=3) for _ in range(2))
    late, early = two.make(7, 2), one.make(7, 2)  # a resumed run asks for later steps first
    for step in range(6):
        one.make(step, 0)
    again = one.make(7, 2)
    assert late.key == early.key == again.key
    for name in ("images", "cell_uv"):
        assert np.array_equal(getattr(late.views, name), getattr(again.views, name))
    other = Examples(open_pools(data, MODEL), MODEL, replace(data, seed=5), batch=3)
    assert [other.make(s, 0).key for s in range(9)] != [one.make(s, 0).key for s in range(9)]


def test_every_sample_comes_once_in_each_walk(folder):
    data = data_config(folder, augment=PLAIN)
    examples = Examples(open_pools(data, MODEL), MODEL, data, batch=3)
    keys = [examples.make(step, place).key for step in range(6) for place in range(3)]
    assert len(set(keys[:9])) == len(set(keys[9:])) == 9
    assert keys[:9] != keys[9:]


def test_sources_are_mixed_by_their_shares(folder):
    sources = (
        SourceConfig(folders=(str(folder / "a"),), share=3.0),
        SourceConfig(folders=(str(folder / "b"),), share=1.0, weight=0.5),
    )
    data = DataConfig(sources=sources, augment=PLAIN)
    examples = Examples(open_pools(data, MODEL), MODEL, data, batch=4)
    for step in range(8):
        batch = [examples.make(step, place) for place in range(4)]
        assert sum(one.drive == "b" for one in batch) in (0, 1, 2)
    drawn = [examples.make(step, place) for step in range(12) for place in range(4)]
    assert sum(one.drive == "b" for one in drawn) == pytest.approx(12, abs=1)
    assert {one.weight for one in drawn if one.drive == "b"} == {0.5}
    few = [examples.make(step, place).key for step in range(4) for place in range(4)]
    assert len({key for key in few if key.startswith("b-")}) == 4  # of four draws: none twice before all came


def test_samples_without_an_image_are_replaced_and_counted(folder, tmp_path):
    small_shards.write(tmp_path, name="c", frames=3)
    data = data_config(tmp_path / "shards", cameras=("front",))
    pools = open_pools(data, MODEL)
    read = ShardPool.read
    missing = pools[0].read(1).key

    def without(self, number):
        sample = read(self, number)
        return replace(sample, images={}) if sample.key == missing else sample

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShardPool, "read", without)
        examples = Examples(pools, MODEL, data, batch=1)
        keys = [examples.make(step, 0).key for step in range(6)]
        assert missing not in keys
        assert pools[0].report()["left_out"] == {"no image of the cameras": 2}
    nowhere = replace(data, cameras=("rear",))
    with pytest.raises(ArtifactInvalid, match="in a row without an image"):
        Examples(open_pools(nowhere, MODEL), MODEL, nowhere, batch=1).make(0, 0)


def test_faults_of_a_sample_name_it(pool):
    sample = pool.read(0)
    with pytest.raises(ArtifactInvalid, match="does not parse"):
        example_of(replace(sample, record={k: v for k, v in sample.record.items() if k != "cameras"}), MODEL)
    with pytest.raises(ArtifactInvalid, match="known mask"):
        example_of(replace(sample, known=sample.known[:5]), MODEL)
    cut = sample.images | {"front": sample.images["front"][:-40]}
    with pytest.raises(ImageInvalid, match="truncated") as error:
        example_of(replace(sample, images=cut), MODEL)
    assert error.value.where == f"{sample.key}: front"
    with pytest.raises(ImageInvalid, match="not of the 64 x 48 px"):
        other = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
        example_of(replace(sample, images={"front": other}), MODEL)


def test_images_of_twice_the_size_are_decoded_small(tmp_path):
    from training.data.images import net_image

    pixels = cv2.resize(np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8), (640, 384))
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    for size in ((320, 192), (160, 96), (200, 100)):
        found = net_image(data, recorded_px=(640, 384), net_px=size, where="x")
        expected = NetFrame.of((640, 384), size).to_net(np.ascontiguousarray(whole))
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).mean() < 2


def test_poses_of_images_enter_the_geometry(tmp_path):
    pool = ShardPool.open([small_shards.write(tmp_path, frames=2, config=PACK)], MODEL)
    sample = pool.read(0)
    on_time = example_of(sample, MODEL).views
    moved = np.array(sample.record["images"][0]["world_from_ego"])
    moved[0, 3] += 1.5
    images = [sample.record["images"][0] | {"world_from_ego": moved.tolist()}, sample.record["images"][1]]
    late = example_of(replace(sample, record=sample.record | {"images": images}), MODEL).views
    assert late.origins - on_time.origins == pytest.approx(np.array([[1.5, 0, 0], [0, 0, 0]]), abs=1e-6)
    assert np.array_equal(late.cell_uv[1], on_time.cell_uv[1])
