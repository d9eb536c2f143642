"""The files of a segmentation net as a job names them: where they lie, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from recon.artifact import digest_file
from recon.config import SegmentConfig
from recon.segment import checkpoint, openvino_files
from recon.segment.mmsegmentation import mmseg_files


def net_paths(segment: SegmentConfig, place: str = "") -> dict[str, str]:
    """Return JSON pointer -> path of the files of the nets; `place` is the pointer of their trip."""
    return _paths(segment, f"{place}/segment")


def _paths(segment: SegmentConfig, section: str) -> dict[str, str]:
    paths = {}
    shipped = segment.backend == "mask2former" and checkpoint.shipped_net(segment.weights)
    if segment.weights and not shipped:
        paths[f"{section}/weights"] = segment.weights
    if segment.class_map.endswith(".json"):
        paths[f"{section}/class_map"] = segment.class_map
    second = segment.second_net()
    return paths | (_paths(second, f"{section}/movables") if second else {})


def with_net_paths(segment: SegmentConfig, paths: Mapping[str, str], place: str = "") -> SegmentConfig:
    """Return the settings with other paths in the places that `net_paths` names."""
    return _with_paths(segment, paths, f"{place}/segment")


def _with_paths(segment: SegmentConfig, paths: Mapping[str, str], section: str) -> SegmentConfig:
    movables, second = segment.movables, segment.second_net()
    if movables and second:
        second = _with_paths(second, paths, f"{section}/movables")
        movables = replace(movables, weights=second.weights, class_map=second.class_map)
    return replace(
        segment,
        weights=paths.get(f"{section}/weights", segment.weights),
        class_map=paths.get(f"{section}/class_map", segment.class_map),
        movables=movables,
    )


def segment_identity(config: SegmentConfig) -> dict[str, Any]:
    """Return the settings in JSON form, weights and class map by the digest of their files.

    Raises ModelInvalid when the model is not there.
    """
    record = asdict(config)
    if config.backend == "mask2former":
        folder = checkpoint.find_checkpoint(config.weights, allow_download=config.allow_download)
        record["weights"] = checkpoint.weights_digest(folder)
    elif config.backend == "mmseg":
        record["weights"] = mmseg_files.find_files(Path(config.weights)).digest
    elif config.backend == "openvino":
        record["weights"] = openvino_files.weights_digest(Path(config.weights))
    if config.class_map.endswith(".json") and Path(config.class_map).is_file():
        record["class_map"] = digest_file(Path(config.class_map))
    second = config.second_net()
    if second:
        other = segment_identity(second)
        record["movables"] |= {name: other[name] for name in ("weights", "class_map")}
    return record
