"""The files of an ONNX or OpenVINO IR net: found, checked and digested without loading OpenVINO."""

from __future__ import annotations

import glob
import mmap
import re
from pathlib import Path, PurePosixPath

from recon.artifact import digest_files
from recon.errors import ModelInvalid

# A StringStringEntryProto of onnx.proto: field 1 is the key "location", field 2 a text of up to 127 bytes.
_LOCATION = re.compile(rb"\n\x08location\x12([\x01-\x7f])", re.DOTALL)

HINT = "Give an ONNX or OpenVINO IR segmentation net with one 3-channel image input and one score per class."


def weight_files(weights: Path) -> list[Path]:
    """Return every file that decides a net's output; ModelInvalid names the one that is missing."""
    if weights.suffix not in (".xml", ".onnx"):
        raise ModelInvalid(f"{weights.name} is neither .xml nor .onnx", where=str(weights), hint=HINT)
    files = [weights]
    if weights.suffix == ".xml":
        files.append(weights.with_suffix(".bin"))
    for file in files:
        if not file.is_file():
            hint = "Give the model file with segment.weights. An IR model is two files, .xml and .bin, side by side."
            raise ModelInvalid(f"{file.name} does not exist", where=str(file), hint=hint)
    return files + external_files(weights)


def external_files(weights: Path) -> list[Path]:
    """Return the files in which an ONNX net keeps its weights, as nets above 2 GB must; none for other nets.

    They are those that its tensors name (`location` in their `external_data`), and by custom NAME.onnx.data. Raises
    ModelInvalid when one lies outside the net's folder or does not exist.
    """
    if weights.suffix != ".onnx":
        return []
    found = set(weights.parent.glob(f"{glob.escape(weights.name)}[._]data"))
    for name in _locations(weights):
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts:
            hint = "Export it again with its weights beside it."
            raise ModelInvalid(f"the net keeps weights outside its folder, in {name}", where=str(weights), hint=hint)
        if not (weights.parent / place).is_file():
            raise ModelInvalid(f"{name} does not exist, and the net keeps weights in it", where=str(weights), hint=HINT)
        found.add(weights.parent / place)
    return sorted(found)


def _locations(weights: Path) -> set[str]:
    """Return the file names in the `external_data` of a net's tensors, searched in its bytes."""
    if weights.stat().st_size == 0:
        return set()
    names = set()
    with weights.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for match in _LOCATION.finditer(data):
            length, start = match[1][0], match.end()
            name = data[start : start + length]
            if len(name) == length and name.isascii() and name.decode("ascii").isprintable():
                names.add(name.decode("ascii"))
    return names


def weights_digest(weights: Path) -> str:
    """Return the sha256 over all files of a net; ModelInvalid names the missing file."""
    return digest_files(weight_files(weights))
