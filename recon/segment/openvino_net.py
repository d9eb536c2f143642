"""The back end for any ONNX or OpenVINO IR segmentation net with a class map file, on CPU.

Threads, streams and precision are fixed: with the defaults OpenVINO splits sums by the number of cores and may use
bfloat16 where the processor has it, and then one drive gives different labels on different machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from recon.arrays import F32, U8, AnyArray
from recon.classes import RoadClass
from recon.errors import ModelInvalid
from recon.segment.frame_labels import Labels
from recon.segment.net_spec import NetSpec
from recon.segment.openvino_files import HINT, weights_digest
from recon.segment.segmenter import Segmentation

THREADS = 2
_SUM_TOLERANCE = 0.02  # of probabilities over classes: half-precision nets round that much


class OpenVinoNet:
    """A segmentation net run by OpenVINO."""

    source: Literal["pixels", "ids"] = "pixels"

    def __init__(self, weights: Path, spec: NetSpec) -> None:
        """Load and compile the net; ModelInvalid when it, its .bin or the openvino package is missing or unfit."""
        self.name = f"openvino:{weights.stem}+{spec.class_map.name}.{spec.class_map.version}"
        self.weights_sha256 = weights_digest(weights)
        self._spec = spec
        self._where = weights.name
        self._net, self._layout, self._size_px = self._compile(weights)

    def segment(self, images: Sequence[U8]) -> list[Segmentation]:
        """Return classes of RGB images; ModelInvalid when the output is not finite or does not fit the class map."""
        return [self._segment(image) for image in images]

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
            model.reshape([1, 3, height, width] if layout == "nchw" else [1, height, width, 3])
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
        if len(dims) != 4 or 3 not in (dims[1], dims[3]) or dims[0] not in (1, -1):
            message = f"the net's input is {shape}, expected 1 x 3 x H x W or 1 x H x W x 3"
            raise ModelInvalid(message, where=self._where, hint=HINT)
        layout = "nchw" if dims[1] == 3 else "nhwc"
        height, width = (dims[2], dims[3]) if layout == "nchw" else (dims[1], dims[2])
        if min(height, width) > 0:
            return layout, (width, height)
        if self._spec.size_px is None:
            hint = 'Add "input": {"size_px": [WIDTH, HEIGHT]} to the class map file.'
            raise ModelInvalid("the net has no fixed input size", where=self._where, hint=hint)
        return layout, self._spec.size_px

    def _segment(self, image: U8) -> Segmentation:
        pixels = image[..., ::-1] if self._spec.color == "bgr" else image
        resized = _resize(np.ascontiguousarray(pixels), self._size_px)
        mean, scale = (np.array(value, dtype=np.float32) for value in (self._spec.mean, self._spec.scale))
        blob = (resized.astype(np.float32) - mean) / scale
        blob = blob.transpose(2, 0, 1) if self._layout == "nchw" else blob
        scores = np.asarray(self._net(np.ascontiguousarray(blob[None]))[0])
        return self._decide(self._probability(scores), (image.shape[1], image.shape[0]))

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

    def _decide(self, probability: F32, size_px: tuple[int, int]) -> Segmentation:
        class_map = self._spec.class_map
        folded = class_map.fold(probability)
        # Only channels that some model class maps to are resized; the others stay zero everywhere.
        full = np.zeros((len(folded), size_px[1], size_px[0]), dtype=np.float32)
        for channel in sorted({int(target) for target in class_map.targets}):
            full[channel] = _resize(folded[channel], size_px)
        dynamic = None
        if class_map.dynamic:
            moving = _resize(probability[list(class_map.dynamic)].sum(axis=0), size_px)
            for model_id in class_map.dynamic:
                full[class_map.targets[model_id]] -= _resize(probability[model_id], size_px)
            dynamic = moving > full.max(axis=0)
            full[RoadClass.UNKNOWN] += moving
        return Segmentation(labels=Labels.of_probability(full), dynamic=dynamic)


def _resize(image: AnyArray, size_px: tuple[int, int]) -> AnyArray:
    width, height = size_px
    # Shrinking by sampling would drop thin paint between the samples.
    shrinks = width <= image.shape[1] and height <= image.shape[0]
    resized: AnyArray = cv2.resize(image, size_px, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return resized
