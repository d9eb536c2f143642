"""Measure how many samples a second the loader feeds to training, on two threads: `make bench`.

Shards of a demo-city-like rig are written first: six cameras, a bird's-eye patch with the elements of a junction. Three
runs: targets and geometry alone at the sizes of the preset r50, the same with six images a sample, each decoded, shrunk
and repainted, and six small images. Then again with a rig whose cameras expose one after the other. Goals on two cores:
200 samples a second without images, 30 with them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from recon.demo_city.config import SIX_CAMERAS, CityConfig
from recon.demo_city.render.rig import calibrated_camera
from recon.drive import DriveLog, Frame, Image
from recon.geometry import rotation_from_euler, transform
from training.data.collate import collate
from training.data.config import AugmentConfig, DataConfig, SourceConfig
from training.data.example import Example, example_of
from training.data.sampling import Examples, open_pools
from training.data.shard_pool import ShardPool
from training.engine.config import LoopConfig
from training.engine.loader import batches
from training.model.config import ModelConfig
from vectorize.config import CropConfig, PackConfig
from vectorize.labels.label_set import LabelSet, PseudoLabels, mask_shape
from vectorize.labels.shard import pack
from vectorize.labels.view_members import ids_of_drive
from vectorize.road_map import Element, ElementClass

FRAMES, BATCH, THREADS = 60, 4, 2
DISTINCT = 12  # images of a camera; frames share them


def write_drive(folder: Path, size_px: tuple[int, int], *, own_poses: bool) -> DriveLog:
    """Write a drive whose images have the detail of real ones, so that they are as large as JPEGs."""
    config = CityConfig(width_px=size_px[0], height_px=size_px[1])
    cameras = tuple(calibrated_camera(camera, config) for camera in SIX_CAMERAS)
    random = np.random.default_rng(1)
    ids = cv2.resize(random.integers(0, 9, (9, 16), np.uint8), size_px, interpolation=cv2.INTER_NEAREST)
    cv2.imwrite(str(folder / "ids.png"), ids)
    for camera in cameras:
        for i in range(DISTINCT):
            coarse = cv2.resize(random.integers(0, 256, (27, 48, 3), np.uint8), size_px, interpolation=cv2.INTER_CUBIC)
            noise = random.integers(0, 9, (size_px[1], size_px[0], 1), np.uint8)
            cv2.imwrite(str(folder / f"{camera.name}-{i}.jpg"), cv2.add(coarse, np.repeat(noise, 3, axis=2)))
    frames = []
    for i in range(FRAMES):
        pose = transform(rotation_from_euler(yaw_rad=0.05 * i), (4.0 * i, 0.0, 0.0))
        images = []
        for j, camera in enumerate(cameras):
            # As in nuScenes: each camera exposes at a time of its own, so no geometry serves two keyframes.
            moved = pose @ transform(np.eye(3), (0.05 * j + 0.001 * i, 0.0, 0.0)) if own_poses else None
            path = f"{camera.name}-{i % DISTINCT}.jpg"
            images.append(Image(camera=camera.name, path=path, time_ns=i, id_path="ids.png", world_from_ego=moved))
        frames.append(Frame(time_ns=i, world_from_ego=pose, images=tuple(images)))
    return DriveLog(name="bench", root=folder, cameras=cameras, frames=tuple(frames))


def junction() -> tuple[Element, ...]:
    """Return twenty elements with as many vertices as labels have."""
    random = np.random.default_rng(2)

    def line(name: ElementClass, start: tuple[float, float], end: tuple[float, float], count: int) -> Element:
        xy = np.linspace(start, end, count) + random.normal(0, 0.05, (count, 2))
        return made(name, xy, closed=False)

    def made(name: ElementClass, xy: np.typing.NDArray[np.float64], *, closed: bool) -> Element:
        seen, confidence = np.ones(len(xy), bool), np.full(len(xy), 0.9, np.float32)
        vertices = np.c_[xy, np.zeros(len(xy))]
        return Element(
            element_class=name, vertices=vertices, seen=seen, confidence=confidence, score=0.9, closed=closed
        )

    dividers = [line("divider", (-29.0, y), (29.0, y), 12) for y in (-9.0, -6.0, -3.0, 0.5, 3.0, 6.0, 9.0, 11.0)]
    boundaries = [line("boundary", (-29.0, y), (29.0, y), 40) for y in (-13.0, -12.0, 12.0, 13.0)]
    stops = [line("stop_line", (x, -3.0), (x, 3.0), 2) for x in (-20.0, -10.0, 10.0, 20.0)]
    corners = np.array([[0.0, -4], [3, -4], [3, 4], [0, 4]])
    crossings = [made("ped_crossing", corners + (x, 0), closed=True) for x in (-18.0, -8.0, 8.0, 18.0)]
    return (*dividers, *boundaries, *stops, *crossings)


def write_shards(folder: Path, drive: DriveLog, stored_px: tuple[int, int]) -> Path:
    """Pack the drive with a junction around every keyframe."""
    crop = CropConfig()
    shape = mask_shape(crop.length_m, crop.width_m, crop.mask_cell_m)
    known = np.random.default_rng(3).random((8, 4)) < 0.8
    mask = cv2.resize(known.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    one = [
        PseudoLabels(frame=i, time_ns=i, world_from_ego=f.world_from_ego, elements=junction(), known=mask)
        for i, f in enumerate(drive.frames)
    ]
    fields = {"length_m": crop.length_m, "width_m": crop.width_m, "mask_cell_m": crop.mask_cell_m, "provenance": {}}
    labels = LabelSet(drive=drive.name, labels=tuple(one), **fields)  # type: ignore[arg-type]  # mixed fields
    pack(
        labels,
        drive,
        PackConfig(with_images=True, with_ids=True, image_px=stored_px),
        folder,
        ids_of=ids_of_drive(drive),
    )
    return folder


def measure(name: str, folder: Path, model: ModelConfig, *, images: bool, batches_wanted: int) -> None:
    """Print samples a second, wall and CPU; the first batches fill the caches of geometry."""
    data = DataConfig(sources=(SourceConfig(folders=(str(folder),)),), augment=AugmentConfig())
    pools = open_pools(data, model)
    examples = Examples(pools, model, data, BATCH)

    def without(step: int, place: int) -> Example:
        pool: ShardPool = pools[0]
        return example_of(pool.read((step * BATCH + place) % len(pool)), model, images=False)

    loop = LoopConfig(steps=batches_wanted + 5, batch=BATCH, loader_threads=THREADS, learning_rate=1e-3)
    with closing(batches(examples.make if images else without, loop, 0)) as feed:
        for _ in range(5):
            next(feed)
        start, cpu = time.perf_counter(), time.process_time()
        for _ in range(batches_wanted):
            collate(next(feed))
        wall, used = time.perf_counter() - start, time.process_time() - cpu
    samples = batches_wanted * BATCH
    per_core = samples / used
    print(f"{name:44s} {samples / wall:7.1f} samples/s   {per_core:7.1f} a second of CPU", flush=True)


def main() -> None:
    """Measure the runs one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=60, help="of 4 samples, a run (60)")
    given = parser.parse_args()
    cv2.setNumThreads(1)  # the loader has threads of its own
    published = ModelConfig(lift="ipm", view_head=True)
    small = ModelConfig(image_px=(160, 96), stride=16, bev_px=(100, 50), lift="ipm")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        bare = ModelConfig(lift="ipm", view_head=False)
        for rig, own_poses in (("one pose a keyframe", False), ("a pose an image", True)):
            drive = write_drive(work, (800, 450), own_poses=own_poses)
            large = write_shards(work / f"large-{own_poses}", drive, (0, 0))
            tiny = write_shards(work / f"tiny-{own_poses}", drive, (160, 96))
            measure(f"no images, r50, {rig}", large, bare, images=False, batches_wanted=given.batches)
            measure(f"800 x 450, r50, {rig}", large, published, images=True, batches_wanted=given.batches)
            measure(f"160 x 90, tiny, {rig}", tiny, small, images=True, batches_wanted=given.batches)


if __name__ == "__main__":
    main()
