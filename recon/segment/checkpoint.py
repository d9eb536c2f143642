"""A Mask2Former checkpoint on disk: its files, and the size and normalisation of its input. Torch-free.

A folder holds `config.json` and `model.safetensors` (or shards with an index). Beside them `roadscribe.json` may
state working size, normalisation and class map; a `preprocessor_config.json` of transformers is read, too.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from recon.artifact import digest_files
from recon.errors import ModelInvalid

SHIPPED_NETS = Path(__file__).parent / "nets"
SPEC_FILE = "roadscribe.json"
MODEL_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_PREPROCESSOR_FILE = "preprocessor_config.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pth", "model.pt")

# ImageNet's statistics, with which nearly every backbone was trained.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
SIZE_PX = (1024, 576)
_SHIPPED_MAPS = {65: "mapillary_vistas_v1_2", 124: "mapillary_vistas_v2_0", 123: "mapillary_vistas_v2_0"}
_SHIPPED_MAPS |= {19: "cityscapes", 9: "roadscribe"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelSpec:
    """Working size and normalisation of a net: RGB 0..1, minus mean, by std; images keep their aspect (NetFrame)."""

    size_px: tuple[int, int] = SIZE_PX  # width, height
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    class_map: str = ""  # shipped name, or a JSON file beside the weights; empty: by the number of classes

    @classmethod
    def of_folder(cls, folder: Path) -> Self:
        """Read `roadscribe.json`, else `preprocessor_config.json`, else the defaults; ModelInvalid for nonsense."""
        own, theirs = folder / SPEC_FILE, folder / _PREPROCESSOR_FILE
        if own.is_file():
            body = read_json(own)
            unknown = sorted(set(body) - {"schema", "size_px", "mean", "std", "class_map"})
            if unknown:
                raise ModelInvalid(f"unknown entry {unknown[0]!r}", where=str(own), hint="Remove it.")
            given = {key: tuple(value) if isinstance(value, list) else value for key, value in body.items()}
            given.pop("schema", None)
            return cls._checked(own, given)
        if theirs.is_file():
            return cls._checked(theirs, _of_preprocessor(read_json(theirs)))
        return cls()

    @classmethod
    def _checked(cls, path: Path, given: dict[str, Any]) -> Self:
        spec = cls(**given)
        for name, value in (("mean", spec.mean), ("std", spec.std)):
            if not (isinstance(value, tuple) and len(value) == 3 and all(isinstance(v, (int, float)) for v in value)):
                raise ModelInvalid(f"{name} is {value!r}, expected three numbers of 0..1", where=str(path))
        if min(spec.std) <= 0:
            raise ModelInvalid(f"std is {spec.std}, expected positive numbers", where=str(path))
        size = spec.size_px
        if not (
            isinstance(size, tuple) and len(size) == 2 and all(isinstance(v, int) and 32 <= v <= 8192 for v in size)
        ):
            raise ModelInvalid(f"size_px is {size!r}, expected width and height of 32..8192 px", where=str(path))
        if not isinstance(spec.class_map, str):
            raise ModelInvalid(f"class_map is {spec.class_map!r}, expected a name", where=str(path))
        return spec

    def record(self) -> dict[str, Any]:
        """Return the body of `roadscribe.json`."""
        return {
            "schema": 1,
            "size_px": list(self.size_px),
            "mean": list(self.mean),
            "std": list(self.std),
            "class_map": self.class_map,
        }


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; ModelInvalid with the file's path if there is no such object."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelInvalid(f"{path.name} does not read: {error}", where=str(path)) from error
    if not isinstance(body, dict):
        raise ModelInvalid(f"{path.name} holds no object", where=str(path))
    return body


def _of_preprocessor(body: dict[str, Any]) -> dict[str, Any]:
    """Return PixelSpec's fields from a transformers image processor; its shortest edge becomes a 16:9 frame.

    The processor computes (image * rescale_factor - mean) / std and may leave out either step.
    """
    given: dict[str, Any] = {}
    size = body.get("size", {})
    if isinstance(size, dict) and {"width", "height"} <= set(size):
        given["size_px"] = (size["width"], size["height"])
    elif isinstance(size, dict) and "shortest_edge" in size:
        short = int(size["shortest_edge"])
        width, height = round(short * 16 / 9), short
        longest = int(size.get("longest_edge") or width)
        scale = min(1.0, longest / width)
        given["size_px"] = (_to_32(width * scale), _to_32(height * scale))
    # Of our formula, (image / 255 - mean) / std, the same numbers follow from another mean and std.
    factor = body.get("rescale_factor", 1 / 255) if body.get("do_rescale", True) else 1.0
    if not isinstance(factor, (int, float)) or not 0.0 < factor < math.inf:
        raise ModelInvalid(f"rescale_factor is {factor!r}, expected a positive number", where=_PREPROCESSOR_FILE)
    steps = factor * 255
    normalises = body.get("do_normalize", True)
    mean = tuple(body.get("image_mean", MEAN)) if normalises else (0.0, 0.0, 0.0)
    std = tuple(body.get("image_std", STD)) if normalises else (1.0, 1.0, 1.0)
    if steps != 1.0 and all(isinstance(v, (int, float)) for v in (*mean, *std)):
        mean, std = tuple(v / steps for v in mean), tuple(v / steps for v in std)
    return given | {"mean": mean, "std": std}


def _to_32(length: float) -> int:
    return max(32, round(length / 32) * 32)


def weight_files(folder: Path) -> list[Path]:
    """Return every file that decides a checkpoint's output; ModelInvalid names the one that is missing."""
    config = folder / "config.json"
    if not folder.is_dir():
        hint = "Give a folder with config.json and model.safetensors; a hub id needs segment.allow_download."
        raise ModelInvalid("the checkpoint folder does not exist", where=str(folder), hint=hint)
    if not config.is_file():
        raise ModelInvalid("config.json does not exist", where=str(config), hint="Save it with save_pretrained.")
    files = [config]
    if (folder / MODEL_FILE).is_file():
        files.append(folder / MODEL_FILE)
    elif (folder / INDEX_FILE).is_file():
        files.append(folder / INDEX_FILE)
        shards = read_json(folder / INDEX_FILE).get("weight_map")
        if not isinstance(shards, dict) or any(Path(str(name)).name != name for name in shards.values()):
            raise ModelInvalid("the index names no shards beside it", where=str(folder / INDEX_FILE))
        files += [folder / name for name in sorted(set(shards.values()))]
    else:
        raise _no_safetensors(folder)
    for file in files:
        if not file.is_file():
            raise ModelInvalid(f"{file.name} does not exist", where=str(file), hint="Copy the checkpoint again.")
    return files + [file for name in (SPEC_FILE, _PREPROCESSOR_FILE) if (file := folder / name).is_file()]


def _no_safetensors(folder: Path) -> ModelInvalid:
    for name in _PICKLES:
        if (folder / name).is_file():
            hint = "Convert it once where you trust it: from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)."
            message = f"{name} is a pickle, which can run code; only safetensors are read"
            return ModelInvalid(message, where=str(folder / name), hint=hint)
    hint = f"Expected: {MODEL_FILE}, or {INDEX_FILE} and its shards."
    return ModelInvalid(f"{MODEL_FILE} does not exist", where=str(folder / MODEL_FILE), hint=hint)


def weights_digest(folder: Path) -> str:
    """Return the sha256 over all files of a checkpoint; ModelInvalid names the one that is missing."""
    return digest_files(weight_files(folder))


def shipped_net(weights: str) -> Path | None:
    """Return the folder of the shipped net of this name, or None for paths and hub ids."""
    named = re.fullmatch(r"[A-Za-z0-9_-]{1,64}", weights) is not None
    return SHIPPED_NETS / weights if named and (SHIPPED_NETS / weights / MODEL_FILE).is_file() else None


def find_checkpoint(weights: str, *, allow_download: bool) -> Path:
    """Return the folder of a checkpoint: a shipped net, a path, or a hub id in the local cache or, if allowed, the hub.

    A shipped name always means the shipped net; a folder of that name is given as `./NAME`.
    """
    shipped = shipped_net(weights)
    if shipped:
        return shipped
    folder = Path(weights)
    if folder.exists() or weights.count("/") != 1 or weights.startswith((".", "/", "~")):
        return folder
    from huggingface_hub import snapshot_download

    wanted = ["config.json", "*.safetensors", INDEX_FILE, _PREPROCESSOR_FILE, SPEC_FILE]
    try:
        return Path(snapshot_download(weights, allow_patterns=wanted, local_files_only=not allow_download))
    except (OSError, ValueError) as error:
        hint = f"Expected: a folder with config.json and {MODEL_FILE}. Give its path, or set segment.allow_download."
        message = f"the checkpoint {weights} is neither a folder nor in the local hub cache"
        if allow_download:
            message, hint = f"the checkpoint {weights} could not be fetched: {error}", "Check the id and the network."
        raise ModelInvalid(message, where=f"{weights}/{MODEL_FILE}", hint=hint) from error


def shipped_map(count: int, folder: Path) -> str:
    """Return the shipped class map for a number of classes; ModelInvalid if there is no such map."""
    if count in _SHIPPED_MAPS:
        return _SHIPPED_MAPS[count]
    known = ", ".join(f"{number}: {name}" for number, name in sorted(_SHIPPED_MAPS.items()))
    hint = f"Give segment.class_map. Shipped maps by number of classes: {known}."
    raise ModelInvalid(f"no shipped class map has {count} classes", where=str(folder / "config.json"), hint=hint)
