"""Predictions of a model: for the samples of shards, or for the keyframes of a drive."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch

from recon.arrays import Bool
from recon.drive import DriveLog, Frame
from recon.errors import ConfigInvalid, ImageInvalid
from recon.files import check_unchanged, read_inside
from recon.prefetch import prefetch
from recon.progress import Tick, silent
from training.data.collate import collate
from training.data.example import Example, example_of
from training.data.train_batch import TrainBatch
from training.model.config import ModelConfig
from training.model.maptr import MapTR
from training.model.post_process import decode
from vectorize.config import CropConfig
from vectorize.labels.label_set import LabelSet, PseudoLabels, mask_shape
from vectorize.labels.sample import sample_record
from vectorize.labels.shard import Sample, key_prefix, sample_key
from vectorize.labels.view_members import member_name
from vectorize.road_map import Element

BATCH = 4
MOST = 50  # elements of a sample, as in MapTR
MASK_CELL_M = CropConfig().mask_cell_m


@torch.no_grad()
def predict_samples(
    net: MapTR,
    config: ModelConfig,
    samples: Iterable[Sample],
    *,
    device: torch.device,
    cameras: Sequence[str] = (),
    threads: int = 2,
    least_score: float = 0.0,
    rounded: bool = False,
) -> Generator[tuple[Sample, tuple[Element, ...], Bool], None, None]:
    """Yield every sample with its elements (ego frame, best first) and the cells (Hb, Wb) that some camera images.

    `cameras` picks some of those of the samples; `rounded` computes in bfloat16. A sample without an image of them has
    no elements. Raises ImageInvalid, naming the sample, when an image does not decode.
    """
    calls = (partial(_prepared, sample, config, tuple(cameras)) for sample in samples)
    with closing(prefetch(calls, workers=threads, ahead=2 * BATCH)) as prepared:
        while part := list(islice(prepared, BATCH)):
            shown = [example for _, example in part if example.views.present.any()]
            found: Iterator[tuple[tuple[Element, ...], Bool]] = iter(())
            if shown:
                batch = collate(shown).to(device)
                with torch.autocast(device.type, torch.bfloat16, enabled=rounded):
                    output = net(batch.views, many=False)
                elements = decode(output, config, most=MOST, least_score=least_score)
                found = zip(elements, imaged_cells(batch), strict=True)
            for sample, example in part:
                dark = (), np.zeros(config.bev_px, dtype=bool)
                yield sample, *(next(found) if example.views.present.any() else dark)


def _prepared(sample: Sample, config: ModelConfig, cameras: tuple[str, ...]) -> tuple[Sample, Example]:
    return sample, example_of(sample, config, cameras=cameras)


def check_cameras(cameras: Sequence[str], there: Sequence[str], where: str) -> None:
    """Raise ConfigInvalid when none of the cameras to use is there: a model would see nothing at all."""
    if cameras and not set(cameras) & set(there):
        what = f"none of the cameras that the model is used with is there: {', '.join(cameras)}"
        hint = f"There are {', '.join(there) or 'none'}. A model uses those that it was trained with, or --camera NAME."
        raise ConfigInvalid(what, where=where, hint=hint)


def imaged_cells(batch: TrainBatch) -> list[Bool]:
    """Return for each sample the bird's-eye cells (Hb, Wb) that some camera of it images."""
    inside = (batch.views.cell_uv >= 0).all(dim=-1) & batch.views.present[:, :, None, None, None]
    return list(inside.any(dim=2).any(dim=1).cpu().numpy())


def samples_of(drive: DriveLog, config: ModelConfig, only: Collection[int] | None = None) -> Iterator[Sample]:
    """Yield the keyframes of a drive, or `only` those of these frames, as samples without labels.

    Raises ImageInvalid where an image is missing or changed.
    """
    size, shape = (config.patch.length_m, config.patch.width_m), _shape(config)
    empty = LabelSet(
        drive=drive.name, labels=(), length_m=size[0], width_m=size[1], mask_cell_m=MASK_CELL_M, provenance={}
    )
    prefix = key_prefix(empty, drive)
    for index, frame in enumerate(drive.frames):
        if not frame.keyframe or (only is not None and index not in only):
            continue
        one = _labels(index, frame, (), np.zeros(shape, bool))
        key = sample_key(prefix, one)
        images = {}
        for image in frame.images:
            where = f"frame {index}, {image.path}"
            data = read_inside(drive.root, image.path, where=where, kind=ImageInvalid)
            check_unchanged(data, image.sha256, where=where, kind=ImageInvalid)
            images[member_name(image.camera)] = data
        yield Sample(key=key, record=sample_record(key, one, empty, drive), known=one.known, images=images)


def predict_drive(
    net: MapTR,
    config: ModelConfig,
    drive: DriveLog,
    *,
    device: torch.device,
    cameras: Sequence[str] = (),
    least_score: float = 0.05,
    rounded: bool = False,
    provenance: dict[str, Any] | None = None,
    tick: Tick = silent,
) -> LabelSet:
    """Return the predictions for all keyframes of a drive; `known` is what some camera images, hidden or not.

    `cameras` picks some of the drive's. Raises ConfigInvalid when it has none of them, and what `samples_of` and
    `predict_samples` raise.
    """
    check_cameras(cameras, [camera.name for camera in drive.cameras], drive.name)
    keyframes = [(index, frame) for index, frame in enumerate(drive.frames) if frame.keyframe]
    found = predict_samples(
        net,
        config,
        samples_of(drive, config),
        device=device,
        cameras=cameras,
        least_score=least_score,
        rounded=rounded,
    )
    labels = []
    with closing(found):
        for (index, frame), (_, elements, seen) in zip(keyframes, found, strict=True):
            labels.append(_labels(index, frame, elements, _enlarged(seen, _shape(config))))
            tick(len(labels), len(keyframes), "keyframes")
    return LabelSet(
        drive=drive.name,
        labels=tuple(labels),
        length_m=config.patch.length_m,
        width_m=config.patch.width_m,
        mask_cell_m=MASK_CELL_M,
        provenance=dict(provenance or {}),
    )


def _labels(index: int, frame: Frame, elements: tuple[Element, ...], known: Bool) -> PseudoLabels:
    return PseudoLabels(
        frame=index, time_ns=frame.time_ns, world_from_ego=frame.world_from_ego, elements=elements, known=known
    )


def _shape(config: ModelConfig) -> tuple[int, int]:
    return mask_shape(config.patch.length_m, config.patch.width_m, MASK_CELL_M)


def _enlarged(cells: Bool, shape: tuple[int, int]) -> Bool:
    """Return a raster of the patch at another resolution: every cell gets that of the cell at its centre."""
    rows, columns = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(shape, cells.shape, strict=True))
    return cells[np.ix_(rows, columns)]
