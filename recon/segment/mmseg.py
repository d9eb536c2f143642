"""The back end for mmsegmentation's Mask2Former: a checkpoint NAME.pth and its configuration NAME.py beside it.

The configuration is read as data, never run (recon.segment.mmseg_files), only registered types are built, and the
checkpoint is loaded with `weights_only`: neither can run code of its own. It still says what is built and how large,
so a service takes models from its own roots only.

What mmsegmentation calls `seg_logits` of a Mask2Former are no logits but sums over queries of softmax(class)[c] x
sigmoid(mask), "no object" left out. They are not negative and need not add up to one: as in the back end `mask2former`
we divide by their sum over classes, where a softmax would flatten them.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from recon.classes import ClassMap
from recon.config import SegmentConfig
from recon.errors import ConfigInvalid, ModelInvalid
from recon.segment.mask2former import (
    decide,
    device_of,
    dtype_of,
    fold_matrix,
    inference,
    resize,
    segment_tiled,
    to_working,
)
from recon.segment.mmseg_files import Scale, find_files, read_config, scale_of
from recon.segment.net_spec import class_map_path
from recon.segment.segmenter import U8, Segmentation

Tensor = torch.Tensor

_INSTALL = "make mmseg, or pip install --no-build-isolation 'roadscribe[mmseg]' beside torch and setuptools < 80"
_KEEP_WEIGHTS = (
    "Where you trust it, keep what is needed: python -c \"import torch; c = torch.load('OLD.pth', "
    "map_location='cpu', weights_only=False); torch.save({k: c[k] for k in ('meta', 'state_dict')}, 'NEW.pth')\"."
)
_FLOOR = 1e-6  # of the sum over classes where no query claims a pixel
# What only training needs; parts of it would be fetched or built for nothing.
_UNUSED = frozenset({"train_cfg", "init_cfg", "pretrained"})


class MmsegMask2Former:
    """A Mask2Former of mmsegmentation."""

    source: Literal["pixels", "ids"] = "pixels"

    def __init__(self, config: SegmentConfig) -> None:
        """Load the checkpoint `config.weights` and the configuration beside it.

        Raises ModelInvalid when the packages are missing, or a file is missing, foreign or does not fit the class map;
        ConfigInvalid when this machine lacks the device or a tile has no size.
        """
        files = find_files(Path(config.weights))
        self._where = str(files.weights)
        self._device = device_of(config.device)
        self._dtype = dtype_of(config.dtype, self._device)
        body = read_config(files.config)
        given = None if config.size_px is None else Scale(size_px=config.size_px, keep_ratio=False)
        self._scale = given or scale_of(body, where=str(files.config))
        if config.tile and self._scale is None:
            raise ConfigInvalid("segment.tile needs a size of tiles", hint="Set segment.size_px.")
        class_map = ClassMap.load(class_map_path(config.class_map))
        net = build_net(body, where=str(files.config))
        checkpoint = load_checkpoint(files.weights)
        self._fold = fold_matrix(class_map, net.num_classes, where=self._where).to(self._device)
        check_names(class_map, checkpoint, where=self._where)
        load_weights(net, checkpoint, where=self._where)
        self._net = net.to(self._device)
        self._batch, self._tile, self._overlap_px = config.batch, config.tile, config.tile_overlap_px
        self.name = f"mmseg:{files.weights.stem}+{class_map.name}.{class_map.version}"
        self.weights_sha256 = files.digest

    def segment(self, images: Sequence[U8]) -> list[Segmentation]:
        """Return classes of RGB images (H, W, 3) of any size; ModelInvalid when the net gives NaN or infinity."""
        with inference(self._device, self._dtype):
            if self._tile and self._scale:
                size, overlap = self._scale.size_px, self._overlap_px
                return [segment_tiled(image, size, overlap, self._probability, self._device) for image in images]
            results: list[Segmentation] = []
            for group in _of_one_size(images):
                height, width = group[0].shape[:2]
                size = self._scale.of(width, height) if self._scale else (width, height)
                small = self._probability([to_working(image, size) for image in group])
                results += [decide(resize(p[None], (height, width))[0]) for p in small]
            return results

    def _probability(self, images: Sequence[U8]) -> Iterator[Tensor]:
        """Yield (CLASS_COUNT + 1, h, w) of images of one size, at that size."""
        for start in range(0, len(images), self._batch):
            yield from self._fold_scores(self._scores(images[start : start + self._batch]))

    def _scores(self, images: Sequence[U8]) -> Tensor:
        """Return mmsegmentation's own scores (B, M, h, w), whole or sliding as the configuration says."""
        from mmseg.structures import SegDataSample

        height, width = images[0].shape[:2]
        # mmsegmentation reads images as BGR; its preprocessor turns, normalises and pads them as it was trained.
        planes = [torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))) for image in images]
        batch = self._net.data_preprocessor({"inputs": planes, "data_samples": [SegDataSample() for _ in planes]})
        shape = tuple(batch["inputs"].shape[2:])
        # Without a `pad_shape`: the head would prefer it to the size of a sliding window.
        metas = [{"ori_shape": shape, "img_shape": shape} for _ in planes]
        with _quiet():
            scores: Tensor = self._net.inference(batch["inputs"], metas)
        return scores[..., :height, :width].float()  # padding lies to the right and below

    def _fold_scores(self, scores: Tensor) -> Tensor:
        if not bool(torch.isfinite(scores).all()):
            hint = "Check the weights; with float16 try segment.dtype=bfloat16 or float32."
            raise ModelInvalid("the net gives NaN or infinity", where=self._where, hint=hint)
        total = torch.einsum("bmhw,mk->bkhw", scores.clamp_min(0.0), self._fold)
        total = total + _FLOOR / self._fold.shape[1]
        return total / total.sum(dim=1, keepdim=True)


def build_net(body: Mapping[str, Any], *, where: str) -> Any:
    """Return the net a configuration describes, with random weights, for inference; ModelInvalid when it cannot be."""
    model = _without_training(body.get("model"))
    kind = model.get("type") if isinstance(model, dict) else None
    head = model.get("decode_head") if isinstance(model, dict) else None
    head_kind = head.get("type") if isinstance(head, dict) else None
    if (str(kind).split(".")[-1], str(head_kind).split(".")[-1]) != ("EncoderDecoder", "Mask2FormerHead"):
        hint = "Give a Mask2Former; other nets run as ONNX with segment.backend=openvino."
        raise ModelInvalid(f"the model is a {kind} with a {head_kind}", where=where, hint=hint)
    if "data_preprocessor" not in model and "data_preprocessor" in body:
        model["data_preprocessor"] = _without_training(body["data_preprocessor"])
    model.setdefault("test_cfg", {"mode": "whole"})
    registry = _registry(where)
    _check_types(model, registry, where)
    from mmengine.config import ConfigDict
    from mmengine.model import revert_sync_batchnorm

    try:
        with _quiet():
            net: Any = revert_sync_batchnorm(registry[""].build(ConfigDict(model)))
    except Exception as error:  # whatever their constructors raise, the configuration is the reason
        first = (str(error).strip().splitlines() or [""])[0][:200]
        message = f"mmsegmentation cannot build the net: {type(error).__name__} {first}".rstrip()
        raise ModelInvalid(
            message, where=where, hint="Give the configuration the checkpoint was trained with."
        ) from error
    return net.eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings about deprecated calls of packages that nobody maintains: no reader could act on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _registry(where: str) -> dict[str, Any]:
    """Return the registries by scope, "" being where a net is built; ModelInvalid when the packages are missing."""
    try:
        with _quiet():
            import mmcv.ops.multi_scale_deform_attn as deformable
            import mmdet.models  # noqa: F401 importing is registering
            import mmseg.models  # noqa: F401
            from mmdet.registry import MODELS as DETECTION
            from mmengine.registry import MODELS as COMMON
            from mmengine.registry import DefaultScope
            from mmseg.registry import MODELS as SEGMENTATION

            if DefaultScope.get_current_instance() is None:
                DefaultScope.get_instance("roadscribe", scope_name="mmseg")
    except (ImportError, AssertionError) as error:  # they assert each other's versions
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ModelInvalid(f"mmsegmentation cannot be used: {first}", where=where, hint=_INSTALL) from error
    # The compiled sampling exists only where mmcv was built with CUDA, and not in bfloat16. mmcv's own form in PyTorch
    # gives the same sums on every device.
    deformable.IS_CUDA_AVAILABLE = False
    return {"": SEGMENTATION, "mmseg": SEGMENTATION, "mmdet": DETECTION, "mmengine": COMMON, "mmcv": COMMON}


def _check_types(value: Any, registry: Mapping[str, Any], where: str) -> None:
    """Raise ModelInvalid for a type nobody registered: mmengine would import any dotted name and call it."""
    if isinstance(value, (list, tuple)):
        for item in value:
            _check_types(item, registry, where)
    if not isinstance(value, dict):
        return
    if "type" in value:
        name = str(value["type"])
        scope, _, plain = name.rpartition(".")
        scopes = [scope] if scope else ["mmseg", "mmdet", "mmengine"]
        if not any(plain in registry[s].module_dict for s in scopes if s in registry):
            hint = "Only what mmsegmentation, mmdet and mmcv register is built, by its registered name."
            raise ModelInvalid(f"the configuration names an unknown type {name!r}", where=where, hint=hint)
    for item in value.values():
        _check_types(item, registry, where)


def _without_training(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_without_training(item) for item in value)
    if isinstance(value, dict):
        return {key: _without_training(item) for key, item in value.items() if key not in _UNUSED}
    return value


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return a checkpoint's mapping, loaded with `weights_only`; ModelInvalid when it is damaged or holds objects."""
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        message = "the checkpoint is damaged, or holds more than weights: such a file can run code and is not opened"
        raise ModelInvalid(message, where=str(path), hint=_KEEP_WEIGHTS) from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        hint = "Copy the checkpoint again."
        raise ModelInvalid(f"the checkpoint does not load: {first}", where=str(path), hint=hint) from error
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        hint = "Give a checkpoint of mmsegmentation."
        raise ModelInvalid("the checkpoint holds no state_dict of weights", where=str(path), hint=hint)
    return dict(checkpoint)


def load_weights(net: Any, checkpoint: Mapping[str, Any], *, where: str) -> None:
    """Put the weights of a checkpoint into a net; ModelInvalid when one is missing or has another shape."""
    hint = "Give the configuration the checkpoint was trained with."
    try:
        missing = net.load_state_dict(checkpoint["state_dict"], strict=False).missing_keys
    except RuntimeError as error:  # of another shape
        lines = str(error).strip().splitlines()
        raise ModelInvalid(
            f"the weights do not fit: {lines[min(1, len(lines) - 1)].strip()[:200]}", where=where, hint=hint
        ) from error
    if missing:
        raise ModelInvalid(f"{len(missing)} weights are missing, the first {missing[0]}", where=where, hint=hint)


def check_names(class_map: ClassMap, checkpoint: Mapping[str, Any], *, where: str) -> None:
    """Raise ModelInvalid when the checkpoint says what its classes are called and the class map says otherwise."""
    meta = checkpoint.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    dataset = meta.get("dataset_meta")
    given = (dataset if isinstance(dataset, dict) else {}).get("classes") or meta.get("CLASSES") or ()
    for model_id, (theirs, ours) in enumerate(zip(given, class_map.names, strict=False)):
        if _plain(str(theirs)) != _plain(ours):
            message = f"class {model_id} is {theirs!r} in the checkpoint and {ours!r} in the class map {class_map.name}"
            raise ModelInvalid(message, where=where, hint="Use the class map that belongs to these weights.")


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _of_one_size(images: Sequence[U8]) -> Iterator[list[U8]]:
    """Yield runs of neighbours of one size: cameras of a rig may differ, a batch must not."""
    group: list[U8] = []
    for image in images:
        if group and group[0].shape != image.shape:
            yield group
            group = []
        group.append(image)
    if group:
        yield group
