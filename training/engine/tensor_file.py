"""Tensors in a safetensors file, with the errors of a disk as Python has them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

_OS_ERROR = re.compile(r"\(os error (\d+)\)")


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write contiguous tensors by name; OSError when the disk is full or does not take them.

    safetensors reports what the system answers in a sentence of its own error, which is no OSError.
    """
    try:
        save_file(dict(tensors), path, metadata=dict(metadata) if metadata else None)
    except SafetensorError as error:
        found = _OS_ERROR.search(str(error))
        if found is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(path)) from error


def plain(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return contiguous copies on the CPU, as a file takes them."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
