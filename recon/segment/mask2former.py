"""The back end for Mask2Former (Cheng et al. 2022) on transformers: checkpoint folders with any head.

A panoptic, instance or semantic checkpoint gives N queries, each with a class distribution and a mask. Standard
semantic inference folds them: P(c) = sum over queries of softmax(class)[c] x sigmoid(mask), the last class ("no
object") left out. We normalise P over classes, so that it is a probability per pixel. Instances of one class add up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch.nn import functional

from recon.arrays import U8
from recon.classes import CLASS_COUNT, ClassMap
from recon.config import SegmentConfig
from recon.errors import ConfigInvalid, ModelInvalid
from recon.render.auto_settings import resolved_device
from recon.segment.checkpoint import PixelSpec, find_checkpoint, shipped_map, weight_files, weights_digest
from recon.segment.image_tiles import cut, ramp, tiles_of
from recon.segment.net_frame import NetFrame, size_of
from recon.segment.net_spec import class_map_path, of_movables
from recon.segment.segmenter import Segmentation, planes_of

Tensor = torch.Tensor

THREADS = 2  # on a CPU: fixed, because sums are split by threads and labels must not depend on the machine
CPU_BATCH = 2  # at most: larger batches exceed a CPU's caches and take a fifth longer an image
_FLOOR = 1e-6  # of the sum over classes where no query claims a pixel


class Mask2Former:
    """A Mask2Former checkpoint of transformers."""

    source: Literal["pixels", "ids"] = "pixels"

    def __init__(self, config: SegmentConfig, movable: Sequence[str] | None = None) -> None:
        """Load the checkpoint `config.weights`; with `movable` it only looks for these classes (`of_movables`).

        Raises ModelInvalid when a file is missing, foreign or does not fit the class map, and ConfigInvalid when this
        machine lacks the device. Uses the network only with `config.allow_download`.
        """
        folder = find_checkpoint(config.weights, allow_download=config.allow_download)
        self._where = str(weight_files(folder)[1])
        spec = PixelSpec.of_folder(folder)
        self._device = device_of(config.device)
        self._dtype = dtype_of(config.dtype, self._device)
        net = load_net(folder)
        name = config.class_map or spec.class_map
        class_map = ClassMap.load(_map_path(name, net.config.num_labels, folder))
        class_map = class_map if movable is None else of_movables(class_map, movable)
        self.name = f"mask2former:{Path(config.weights).name}+{class_map.name}.{class_map.version}"
        self.weights_sha256 = weights_digest(folder)
        self._tile, self._overlap_px = config.tile, config.tile_overlap_px
        self._prepare(net, replace(spec, size_px=config.size_px or spec.size_px), class_map, config.batch)

    @classmethod
    def of_net(cls, net: Any, spec: PixelSpec, class_map: ClassMap, *, device: torch.device) -> Self:
        """Return the back end around a net in memory, which is modified. Training evaluates with it."""
        self = cls.__new__(cls)
        self.name, self.weights_sha256, self._where = "mask2former:in memory", "", "net in memory"
        self._device, self._dtype, self._tile, self._overlap_px = device, torch.float32, False, 0
        self._prepare(net, spec, class_map, batch=4)
        return self

    def _prepare(self, net: Any, spec: PixelSpec, class_map: ClassMap, batch: int) -> None:
        self._batch = min(batch, CPU_BATCH) if self._device.type == "cpu" else batch
        self._fold = fold_matrix(class_map, net.config.num_labels, where=self._where).to(self._device)
        self._size_px = spec.size_px
        self._mean = torch.tensor(spec.mean, device=self._device).view(3, 1, 1)
        self._std = torch.tensor(spec.std, device=self._device).view(3, 1, 1)
        self._net = fast(net).to(self._device)

    def segment(self, images: Sequence[U8]) -> list[Segmentation]:
        """Return classes of RGB images (H, W, 3) of any size; ModelInvalid when the net returns NaN or infinity."""
        if not images:
            return []
        with inference(self._device, self._dtype):
            if self._tile:
                size, overlap = self._size_px, self._overlap_px
                return [segment_tiled(image, size, overlap, self._probability, self._device) for image in images]
            return segment_framed(images, [self._size_px] * len(images), self._probability)

    def _probability(self, images: Sequence[U8]) -> Iterator[Tensor]:
        """Yield (CLASS_COUNT + 1, h, w) of images that have the working size, at that size."""
        for start in range(0, len(images), self._batch):
            stack = np.stack(images[start : start + self._batch])
            pixels = torch.from_numpy(stack).to(self._device).permute(0, 3, 1, 2).float() / 255.0
            pixels = ((pixels - self._mean) / self._std).contiguous(memory_format=torch.channels_last)
            output = self._net(pixel_values=pixels, output_auxiliary_logits=False)
            classes, masks = output.class_queries_logits.float(), output.masks_queries_logits.float()
            if not bool(torch.isfinite(classes).all() and torch.isfinite(masks).all()):
                hint = "Check the weights; with float16 try segment.dtype=bfloat16 or float32."
                raise ModelInvalid("the net returns NaN or infinity", where=self._where, hint=hint)
            yield from compose(classes, resize(masks, stack.shape[1:3]), self._fold)


def compose(class_logits: Tensor, mask_logits: Tensor, fold: Tensor) -> Tensor:
    """Return class probabilities (B, K, h, w) from queries (B, Q, M + 1), masks (B, Q, h, w) and `fold` (M, K).

    `fold` sums model classes into road classes before the masks are weighed: the sum is linear, and K is less than M.
    """
    weight = class_logits.softmax(dim=-1)[..., :-1] @ fold
    total = torch.einsum("bqk,bqhw->bkhw", weight, mask_logits.sigmoid()).clamp_min(0.0) + _FLOOR / fold.shape[1]
    return total / total.sum(dim=1, keepdim=True)


def segment_framed(
    images: Sequence[U8],
    sizes_px: Sequence[tuple[int, int]],
    probability: Callable[[Sequence[U8]], Iterable[Tensor]],
) -> list[Segmentation]:
    """Return classes of images, each framed in an input of its size (width, height) of `sizes_px`."""
    frames = [NetFrame.of(size_of(image), size) for image, size in zip(images, sizes_px, strict=True)]
    small = probability([frame.to_net(image) for frame, image in zip(frames, images, strict=True)])
    return [decide(from_net(frame, planes)) for frame, planes in zip(frames, small, strict=True)]


def from_net(frame: NetFrame, planes: Tensor) -> Tensor:
    """Return (K, H, W) at the size of the image from (K, h, w) at that of the net's input."""
    width, height = frame.image_px
    return resize(planes[(slice(None), *frame.window)][None], (height, width))[0]


def segment_tiled(
    image: U8,
    size_px: tuple[int, int],
    overlap_px: int,
    probability: Callable[[Sequence[U8]], Iterable[Tensor]],
    device: torch.device,
) -> Segmentation:
    """Return classes of an image from tiles of `size_px`, of which `probability` yields (CLASS_COUNT + 1, h, w)."""
    tiles = tiles_of(image.shape[1], image.shape[0], size_px, overlap_px)
    total = torch.zeros((CLASS_COUNT + 1, *image.shape[:2]), device=device)
    frame = NetFrame.of((tiles[0].width, tiles[0].height), size_px)  # all tiles have one size
    windows = [frame.to_net(cut(image, tile)) for tile in tiles]
    for tile, planes in zip(tiles, probability(windows), strict=True):
        weight = torch.from_numpy(ramp(tile, overlap_px)).to(device)
        total[(slice(None), *tile.window)] += from_net(frame, planes) * weight
    return decide(total / total.sum(dim=0, keepdim=True))


def decide(probability: Tensor) -> Segmentation:
    """Return the two likeliest classes of (CLASS_COUNT + 1, H, W), and where dynamic objects are the likeliest."""
    return Segmentation.of_planes(probability.float().cpu().numpy())


def fold_matrix(class_map: ClassMap, count: int, *, where: str) -> Tensor:
    """Return (count, CLASS_COUNT + 1): the plane of each of the model's classes; ModelInvalid if they do not fit."""
    known = len(class_map.names)
    # Nets are trained with or without an output for unlabelled pixels, which is the last one.
    spare = 1 if class_map.names[-1] == "Unlabeled" else 0
    if count not in (known, known - spare):
        message = f"the net has {count} classes, the class map {class_map.name} has {known}"
        raise ModelInvalid(message, where=where, hint="Use the class map that belongs to these weights.")
    fold = torch.zeros((count, CLASS_COUNT + 1))
    for model_id, plane in enumerate(planes_of(class_map)[:count]):
        fold[model_id, plane] = 1.0
    return fold


def load_net(folder: Path) -> Any:
    """Return the transformers net of a checkpoint folder in evaluation mode, float32, on the CPU; or ModelInvalid."""
    import transformers
    from safetensors import SafetensorError

    files = weight_files(folder)
    logging: Any = transformers.logging
    kind: Any = transformers.Mask2FormerForUniversalSegmentation
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # its load report is checked below
    logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type != "mask2former":
            hint = "Give a Mask2Former checkpoint; other nets run as ONNX with segment.backend=openvino."
            raise ModelInvalid(f"the checkpoint is a {config.model_type}", where=str(files[0]), hint=hint)
        net, report = kind.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        hint = "Copy the checkpoint again; config.json and weights belong together."
        raise ModelInvalid(f"the checkpoint does not load: {first}", where=str(files[1]), hint=hint) from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
    missing = sorted(report["missing_keys"]) + sorted(str(key) for key in report.get("mismatched_keys", ()))
    if missing:
        message = f"{len(missing)} weights are missing or have another shape, the first {missing[0]}"
        hint = "config.json and weights belong together: give the folder that save_pretrained wrote."
        raise ModelInvalid(message, where=str(files[1]), hint=hint)
    return net.eval()


def fast(net: Any) -> Any:
    """Return the net prepared for inference: fewer operations, and the memory order that suits convolutions."""
    from recon.segment.fuse import fuse_text_net

    net.config.output_attentions = net.config.output_hidden_states = False
    fuse_text_net(net.eval())
    return net.to(memory_format=torch.channels_last)


@contextmanager
def inference(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Run without gradients, with a fixed number of CPU threads, and in `dtype` where it is not float32."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(THREADS)
    try:
        with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            yield
    finally:
        torch.set_num_threads(before)


def resize(planes: Tensor, shape: Sequence[int]) -> Tensor:
    """Return (B, K, h, w) at the height and width that `shape` begins with."""
    size = (int(shape[0]), int(shape[1]))
    if tuple(planes.shape[-2:]) == size:
        return planes
    return functional.interpolate(planes, size=size, mode="bilinear", align_corners=False)


def device_of(name: str, *, setting: str = "segment.device") -> torch.device:
    """Return the device; ConfigInvalid, which names the `setting`, when this machine has no such device."""
    name = resolved_device(name, cuda=torch.cuda.is_available())
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigInvalid(f"{setting} is cuda, but PyTorch finds no CUDA device", hint="Use auto or cpu.")
    return torch.device(name)


def dtype_of(name: str, device: torch.device) -> torch.dtype:
    """Return the computing type; ConfigInvalid for float16 on a CPU, which has no such kernels."""
    if name == "float16" and device.type == "cpu":
        raise ConfigInvalid("segment.dtype float16 needs a CUDA device", hint="Use float32 or bfloat16 on a CPU.")
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    return kinds[name]


def _map_path(name: str, count: int, folder: Path) -> Path:
    if name.endswith(".json") and not Path(name).is_absolute() and (folder / Path(name).name).is_file():
        return folder / Path(name).name  # a class map beside its weights
    return class_map_path(name or shipped_map(count, folder))
