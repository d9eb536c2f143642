"""The files of an ONNX or OpenVINO IR net: found, checked and digested without loading OpenVINO."""

from __future__ import annotations

import glob
from pathlib import Path

from recon.artifact import digest_files
from recon.errors import ModelInvalid

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
    # ONNX nets above 2 GB keep their weights beside them.
    return files + sorted(weights.parent.glob(f"{glob.escape(weights.name)}[._]data"))


def weights_digest(weights: Path) -> str:
    """Return the sha256 over all files of a net; ModelInvalid names the missing file."""
    return digest_files(weight_files(weights))
