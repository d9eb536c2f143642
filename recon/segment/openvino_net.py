"""The back end for any ONNX or OpenVINO IR segmentation net with a class map file, on CPU.

Threads, streams and precision are fixed: with the defaults OpenVINO splits sums by the number of cores and may use
bfloat16 where the processor has it, and then one drive gives different labels on different machines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from recon.arrays import F32, U8, AnyArray
from recon.config import SegmentConfig
from recon.errors import ConfigInvalid, ModelInvalid
from recon.segment.image_tiles import cut, ramp, tiles_of
from recon.segment.net_frame import NetFrame, size_of
from recon.segment.net_spec import NetSpec
from recon.segment.openvino_files import HINT, weights_digest
from recon.segment.segmenter import MOVING, Segmentation, fold, planes_of

THREADS = 2
_SUM_TOLERANCE = 0.02  # of probabilities over classes: half-precision nets round that much


class OpenVinoNet:
    """A segmentation net run by OpenVINO."""

    source: Literal["pixels", "ids"] = "pixels"

    def __init__(self, weights: Path, spec: NetSpec, config: SegmentConfig | None = None) -> None:
        """Load and compile the net; of `config` it takes batch, size and tiles.

        Raises ModelInvalid when it, its .bin or the openvino package is missing or unfit, and ConfigInvalid when
        `config.size_px` differs from the size that the net's file fixes.
        """
        config = config or SegmentConfig(backend="openvino", weights=str(weights), batch=1)
        self._tile, self._overlap_px, self._batch = config.tile, config.tile_overlap_px, config.batch
        self._given_px = config.size_px
        self.name = f"openvino:{weights.stem}+{spec.class_map.name}.{spec.class_map.version}"
        self.weights_sha256 = weights_digest(weights)
        self._spec = spec
        self._where = weights.name
        self._net, self._layout, self._size_px = self._compile(weights)

    def segment(self, images: Sequence[U8]) -> list[Segmentation]:
        """Return classes of RGB images; ModelInvalid when the output is not finite or does not fit the class map."""
        whole = (self._tiled(image) for image in images) if self._tile else self._whole(images)
        return [Segmentation.of_planes(planes) for planes in whole]

    def _compile(self, weights: Path) -> tuple[Any, str, tuple[int, int]]:
        try:
            import openvino
        except ImportError as error:
            hint = "pip install 'roadscribe[openvino]'"
            raise ModelInvalid("the openvino package is not installed", where=self._where, hint=hint) from error
        core = openvino.Core()
        try:
            model = core.read_model(str(weights))
            if len(model.inputs) != 1 or len(model.outputs) != 1:
                message = f"the net has {len(model.inputs)} inputs and {len(model.outputs)} outputs, expected one each"
                raise ModelInvalid(message, where=self._where, hint=HINT)
            layout, size_px = self._input_of(model.input(0).partial_shape)
            width, height = size_px
            shape = [3, height, width] if layout == "nchw" else [height, width, 3]
            model.reshape([self._batch, *shape])
            settings = {
                "INFERENCE_NUM_THREADS": THREADS,
                "NUM_STREAMS": 1,
                "INFERENCE_PRECISION_HINT": "f32",
                "EXECUTION_MODE_HINT": "ACCURACY",
                "ENABLE_CPU_PINNING": False,  # several workers share a machine and would be pinned to the same cores
            }
            return core.compile_model(model, "CPU", settings), layout, size_px
        except RuntimeError as error:
            first = str(error).strip().splitlines()[-1][:200]
            raise ModelInvalid(f"OpenVINO cannot load the net: {first}", where=self._where, hint=HINT) from error

    def _input_of(self, shape: Any) -> tuple[str, tuple[int, int]]:
        """Return the layout and the width and height of the input, from its (partly open) shape."""
        dims = [dim.get_length() if dim.is_static else -1 for dim in shape] if shape.rank.is_static else []
        if len(dims) != 4 or 3 not in (dims[1], dims[3]):
            message = f"the net's input is {shape}, expected N x 3 x H x W or N x H x W x 3"
            raise ModelInvalid(message, where=self._where, hint=HINT)
        layout = "nchw" if dims[1] == 3 else "nhwc"
        height, width = (dims[2], dims[3]) if layout == "nchw" else (dims[1], dims[2])
        if dims[0] > 0:
            self._batch = dims[0]  # the file fixes how many images go in one call
        given, fixed = self._given_px, min(height, width) > 0
        if fixed and given not in (None, (width, height)):
            message = f"segment.size_px is {given[0]} x {given[1]}, but the input of the net is {width} x {height} px"
            hint = "Leave segment.size_px out, or export the net with an open size."
            raise ConfigInvalid(message, where=self._where, hint=hint)
        size_px = (width, height) if fixed else given or self._spec.size_px
        if size_px is None:
            hint = 'Set segment.size_px, or add "input": {"size_px": [WIDTH, HEIGHT]} to the class map file.'
            raise ModelInvalid("the net has no fixed input size", where=self._where, hint=hint)
        return layout, size_px

    def _whole(self, images: Sequence[U8]) -> Iterator[F32]:
        frames = [NetFrame.of(size_of(image), self._size_px) for image in images]
        scores = self._scores([frame.to_net(image) for frame, image in zip(frames, images, strict=True)])
        for frame, planes in zip(frames, scores, strict=True):
            yield self._full(planes, frame)

    def _tiled(self, image: U8) -> F32:
        """Return (CLASS_COUNT + 1, H, W) of an image from overlapping tiles of the net's size, at full resolution."""
        tiles = tiles_of(*size_of(image), self._size_px, self._overlap_px)
        frame = NetFrame.of((tiles[0].width, tiles[0].height), self._size_px)
        total = np.zeros((MOVING + 1, *image.shape[:2]), dtype=np.float32)
        scores = self._scores([frame.to_net(cut(image, tile)) for tile in tiles])
        for tile, planes in zip(tiles, scores, strict=True):
            total[(slice(None), *tile.window)] += self._full(planes, frame) * ramp(tile, self._overlap_px)
        total /= total.sum(axis=0)
        return total

    def _scores(self, framed: Sequence[U8]) -> Iterator[F32]:
        """Yield (CLASS_COUNT + 1, h, w), at the net's own resolution, of images of its input size."""
        mean, scale = (np.array(value, dtype=np.float32) for value in (self._spec.mean, self._spec.scale))
        for start in range(0, len(framed), self._batch):
            group = framed[start : start + self._batch]
            stack = np.stack([*group, *[group[-1]] * (self._batch - len(group))])  # the shape is compiled in
            pixels = stack[..., ::-1] if self._spec.color == "bgr" else stack
            blob = (pixels.astype(np.float32) - mean) / scale
            blob = blob.transpose(0, 3, 1, 2) if self._layout == "nchw" else blob
            output = np.asarray(self._net(np.ascontiguousarray(blob))[0])
            for scores in output[: len(group)]:
                yield fold(self._probability(scores[None]), self._spec.class_map)

    def _full(self, planes: F32, frame: NetFrame) -> F32:
        """Return planes at the size of the image; those that no class maps to stay zero and are not resized."""
        full = np.zeros((len(planes), *frame.image_px[::-1]), dtype=np.float32)
        for plane in set(planes_of(self._spec.class_map)):
            full[plane] = frame.from_net(planes[plane])
        return full

    def _probability(self, scores: AnyArray) -> F32:
        """Return (M, h, w) probabilities of the model's classes from its raw output."""
        count = len(self._spec.class_map.targets)
        if scores.ndim != 4 or scores.shape[0] != 1 or count not in (scores.shape[1], scores.shape[3]):
            shape = " x ".join(map(str, scores.shape))
            message = f"the net's output is {shape}, the class map {self._spec.class_map.name} has {count} classes"
            raise ModelInvalid(message, where=self._where, hint="Use the class map that belongs to these weights.")
        values: F32 = scores[0].astype(np.float32, copy=False)
        values = values if scores.shape[1] == count else values.transpose(2, 0, 1)
        if not np.isfinite(values).all():
            hint = "Check the weights, and input.mean and input.scale of the class map."
            raise ModelInvalid("the net's output holds NaN or infinity", where=self._where, hint=hint)
        if self._spec.activation == "logits":
            exponential: F32 = np.exp(values - values.max(axis=0))
            probability: F32 = exponential / exponential.sum(axis=0)
            return probability
        total = values.sum(axis=0)
        if values.min() < -_SUM_TOLERANCE or np.abs(total - 1.0).max() > _SUM_TOLERANCE:
            hint = 'Add "output": {"activation": "logits"} to the class map file.'
            message = (
                f"the net's output is not a probability: its sums range from {total.min():.3g} to {total.max():.3g}"
            )
            raise ModelInvalid(message, where=self._where, hint=hint)
        return values
