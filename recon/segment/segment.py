"""The stage segment: every image of a drive becomes class ids and confidence, resumable image by image."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeAlias

import cv2
import numpy as np

from recon.arrays import U8, Bool
from recon.artifact import MANIFEST, seal
from recon.classes import RoadClass
from recon.config import SegmentConfig
from recon.drive import Camera, DriveLog, Image
from recon.errors import DriveEmpty, ImageInvalid, PathRefused, RoadscribeError, storage_errors
from recon.files import check_unchanged, read_inside
from recon.prefetch import prefetch
from recon.progress import Tick, silent
from recon.segment.ego_body import find_mask, given_mask
from recon.segment.frame_labels import FrameLabels, LabelledImage, Labels, write_labels
from recon.segment.id_images import IdImages
from recon.segment.movables import Movables
from recon.segment.net_spec import NetSpec, class_map_path, of_movables
from recon.segment.openvino_net import OpenVinoNet
from recon.segment.segmenter import Segmentation, Segmenter
from recon.sensors.image_file import check_image, decode_ids, decode_rgb

DECODED_AHEAD = 3  # images decoded while the model works: enough to hide the disk, few enough for memory
WORKERS = min(4, os.cpu_count() or 1)  # threads that decode, and as many that write, so that a GPU need not wait
OPENVINO_MAP = "road_segmentation_adas_0001"  # the class map of the net in the tutorial for machines without a GPU
REFERENCE_WIDTH_PX = 800  # the image width that config.dilate_dynamic_px is meant for

Item: TypeAlias = tuple[LabelledImage, Image]


def open_segmenter(config: SegmentConfig, movable: Sequence[str] | None = None) -> Segmenter:
    """Return the back end that `config` names; with `movable` it only tells what moves (`net_spec.of_movables`).

    Raises ModelInvalid when its model cannot be used, and ConfigInvalid when a setting does not fit the model.
    """
    if config.backend == "openvino":
        spec = NetSpec.load(class_map_path(config.class_map or OPENVINO_MAP))
        if movable is not None:
            spec = replace(spec, class_map=of_movables(spec.class_map, movable))
        return OpenVinoNet(Path(config.weights), spec, config)
    if config.backend == "mask2former":
        from recon.segment.mask2former import Mask2Former  # transformers take seconds to import

        return Mask2Former(config, movable)
    if config.backend == "mmseg":
        from recon.segment.mmsegmentation.mmseg import MmsegMask2Former

        return MmsegMask2Former(config, movable)
    return IdImages()


def open_movables(config: SegmentConfig) -> Movables | None:
    """Return the second net of `config`, None without one; raises what `open_segmenter` raises."""
    second = config.second_net()
    if config.movables is None or second is None:
        return None
    classes = config.movables.classes
    return Movables(segmenter=open_segmenter(second, classes), classes=classes)


def segment(
    drive: DriveLog,
    config: SegmentConfig,
    work: Path,
    tick: Tick = silent,
    *,
    parents: Mapping[str, str] | None = None,
    config_digest: str = "",
) -> FrameLabels:
    """Label every image of `drive` into the folder `work` and seal it as a FrameLabels artifact.

    `work` is reserved for this drive and config. Finished images of a stopped run are kept and skipped, and the bytes
    are those of a run without a stop. The caller renames the folder.
    Raises DriveEmpty, ModelInvalid, ImageInvalid (more than `config.max_bad_share` of the images fail), Cancelled.
    """
    items = tuple((_names(index, image), image) for index, _, image in drive.images())
    if not items:
        raise DriveEmpty(where=drive.name, hint="Give at least one frame with one image.")
    with storage_errors(str(work)):
        for folder in ("ids", "evidence"):
            (work / folder).mkdir(parents=True, exist_ok=True)
        (work / MANIFEST).unlink(missing_ok=True)
    cameras = {camera.name: camera for camera in drive.cameras}
    batch = 1 if config.backend == "id_images" else config.batch
    todo = [group for group in _groups(items, batch) if not all(_is_done(work, n, cameras[i.camera]) for n, i in group)]
    done, left_out = len(items) - sum(map(len, todo)), []
    tick(done, len(items), "images")
    segmenter, movables = open_segmenter(config), open_movables(config)
    masks = {name: _ego_mask(drive, camera, segmenter) for name, camera in cameras.items()} if todo else {}
    with _Writer(work, masks, config.dilate_dynamic_px) as writer:
        # The second net looks at pixels, also where the first one only passes ids on.
        sources = tuple(dict.fromkeys((segmenter.source, *(["pixels"] if movables else []))))
        for group in _decoded_ahead(drive, cameras, todo, sources):
            sound: list[tuple[LabelledImage, tuple[U8, ...]]] = []
            for name, decoded in group:
                if isinstance(decoded, RoadscribeError):
                    left_out.append({"frame": name.frame, "camera": name.camera, **decoded.record()})
                    _refuse_too_many(left_out, len(items), config.max_bad_share)
                    done += 1
                else:
                    sound.append((name, decoded))
            results = segmenter.segment([images[0] for _, images in sound])
            if movables is not None:
                results = movables.applied([images[-1] for _, images in sound], results)
            for _ in writer.written(zip((name for name, _ in sound), results, strict=True)):
                done += 1
                tick(done, len(items), "images")
            if len(sound) < len(group):
                tick(done, len(items), "images")
        for _ in writer.rest():
            done += 1
            tick(done, len(items), "images")
    names = [name for name, _ in items]
    return finish(work, names, segmenter, left_out, movables, parents=parents, config_digest=config_digest)


def finish(
    work: Path,
    images: Sequence[LabelledImage],
    segmenter: Segmenter,
    left_out: Sequence[Mapping[str, Any]] = (),
    movables: Movables | None = None,
    *,
    parents: Mapping[str, str] | None = None,
    config_digest: str = "",
) -> FrameLabels:
    """Seal `work`, in which every image but those left out has its two PNGs, as a FrameLabels artifact."""
    missing = {(entry["frame"], entry["camera"]) for entry in left_out}
    kept = [image for image in images if (image.frame, image.camera) not in missing]
    expected = {name for image in kept for name in (image.ids, image.evidence)}
    with storage_errors(str(work)):
        # A run that was killed may have left scratch files; sealed, they would change the digest.
        for path in itertools.chain((work / "ids").iterdir(), (work / "evidence").iterdir()):
            if path.relative_to(work).as_posix() not in expected:
                path.unlink()
    meta: dict[str, Any] = {
        "images": [asdict(image) for image in kept],
        "model": segmenter.name,
        "weights_sha256": segmenter.weights_sha256,
        "left_out": [dict(entry) for entry in left_out],
    }
    if movables is not None:
        meta["movables"] = movables.record()
    seal(work, kind=FrameLabels.kind, schema=FrameLabels.schema, meta=meta, parents=parents, config=config_digest)
    return FrameLabels.open(work, verify=False)


def _names(frame: int, image: Image) -> LabelledImage:
    file = f"{frame:06d}_{image.camera}.png"
    return LabelledImage(frame=frame, camera=image.camera, ids=f"ids/{file}", evidence=f"evidence/{file}")


def _is_done(work: Path, name: LabelledImage, camera: Camera) -> bool:
    """Return whether both PNGs of an image exist, complete and of its size."""
    size = {"width_px": camera.width_px, "height_px": camera.height_px}
    try:
        decode_ids((work / name.ids).read_bytes(), **size, where=name.ids)
        check_image((work / name.evidence).read_bytes(), **size, where=name.evidence)
    except (OSError, ImageInvalid):
        return False
    return True


def _groups(items: Sequence[Item], batch: int) -> list[list[Item]]:
    """Cut the drive into batches independent of finished work, because results round differently in other batches."""
    return [list(items[start : start + batch]) for start in range(0, len(items), batch)]


def _decoded_ahead(
    drive: DriveLog, cameras: Mapping[str, Camera], todo: Sequence[Sequence[Item]], sources: Sequence[str]
) -> Iterator[list[tuple[LabelledImage, tuple[U8, ...] | RoadscribeError]]]:
    """Yield what the nets look at for each batch, in order, while the next ones are decoded."""
    calls = (
        partial(_decode_all, drive, image, cameras[image.camera], sources, f"frame {name.frame}, {image.path}")
        for group in todo
        for name, image in group
    )
    # A batch of several images is a queue of its own: one more of them ahead is enough.
    ahead = DECODED_AHEAD if not todo or len(todo[0]) == 1 else len(todo[0])
    with closing(prefetch(calls, workers=WORKERS, ahead=ahead)) as decoded:
        for group in todo:
            yield [(name, next(decoded)) for name, _ in group]


class _Writer:
    """Cleans and writes results in threads, so that the model need not wait for PNGs; a few at most are pending."""

    def __init__(self, work: Path, masks: Mapping[str, Bool | None], dilate_px: int) -> None:
        self._work, self._masks, self._dilate_px = work, masks, dilate_px
        self._pool = ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="write")
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def written(self, results: Iterable[tuple[LabelledImage, Segmentation]]) -> Iterator[None]:
        """Add results and yield once for every image, of these or earlier ones, that is on disk; may raise DiskFull."""
        for name, result in results:
            self._pending.append(self._pool.submit(self._write, name, result))
            while len(self._pending) > 2 * WORKERS or (self._pending and self._pending[0].done()):
                yield self._pending.popleft().result()

    def rest(self) -> Iterator[None]:
        """Yield once for every image that was still to be written."""
        while self._pending:
            yield self._pending.popleft().result()

    def _write(self, name: LabelledImage, result: Segmentation) -> None:
        labels = _clean(result, self._masks[name.camera], self._dilate_px)
        write_labels(labels, self._work / name.ids, self._work / name.evidence)


def _decode_all(
    drive: DriveLog, image: Image, camera: Camera, sources: Sequence[str], where: str
) -> tuple[U8, ...] | RoadscribeError:
    found: list[U8] = []
    for source in sources:
        decoded = _decode(drive, image, camera, source, where)
        if isinstance(decoded, RoadscribeError):
            return decoded
        found.append(decoded)
    return tuple(found)


def _decode(drive: DriveLog, image: Image, camera: Camera, source: str, where: str) -> U8 | RoadscribeError:
    """Return RGB or ids of one image, or the error that prevents it."""
    path, expected = image.path, image.sha256
    if source == "ids":
        path, expected = image.id_path, drive.file_sha256.get(image.id_path, "")
        if not path:
            hint = "Segment with a model (--segmenter mask2former --weights FOLDER), or list its ids in drive.json."
            return ImageInvalid("the drive has no class ids for this image", where=where, hint=hint)
    try:
        data = read_inside(drive.root, path, where=where, kind=ImageInvalid)
        check_unchanged(data, expected, where=where, kind=ImageInvalid)
        decode = decode_ids if source == "ids" else decode_rgb
        return decode(data, width_px=camera.width_px, height_px=camera.height_px, where=where)
    except (ImageInvalid, PathRefused) as error:
        return error


def _refuse_too_many(left_out: Sequence[Mapping[str, Any]], total: int, max_share: float) -> None:
    if len(left_out) <= max_share * total:
        return
    names = ", ".join(str(entry["where"]) for entry in left_out[:10])
    more = f" and {len(left_out) - 10} more" if len(left_out) > 10 else ""
    message = f"{len(left_out)} of {total} images cannot be segmented: {left_out[0]['message']}"
    # The first image's own hint: `validate` accepts a drive without ids and would not help here.
    hint = f"{left_out[0]['hint']} Or allow more with segment.max_bad_share.".lstrip()
    raise ImageInvalid(message, where=names + more, hint=hint)


def _ego_mask(drive: DriveLog, camera: Camera, segmenter: Segmenter) -> Bool | None:
    given = given_mask(drive, camera)
    # Given ids already leave out the ego body; only a model needs a mask.
    return find_mask(drive, camera) if given is None and segmenter.source == "pixels" else given


def _clean(result: Segmentation, ego: Bool | None, dilate_px: int) -> Labels:
    """Return ids in which dynamic objects (dilated) and the ego body are UNKNOWN with confidence 0."""
    labels = result.labels
    unknown = labels.ids == RoadClass.UNKNOWN
    if result.dynamic is not None:
        radius = round(dilate_px * labels.ids.shape[1] / REFERENCE_WIDTH_PX)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        unknown |= cv2.dilate(result.dynamic.astype(np.uint8), kernel).astype(bool)
    if ego is not None:
        unknown |= ego
    # UNKNOWN is 0, and so is its confidence.
    planes = (labels.ids, labels.confidence, labels.runner_up, labels.runner_up_confidence)
    ids, confidence, runner_up, runner_up_confidence = (np.where(unknown, np.uint8(0), plane) for plane in planes)
    return Labels(ids=ids, confidence=confidence, runner_up=runner_up, runner_up_confidence=runner_up_confidence)
