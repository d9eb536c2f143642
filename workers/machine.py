"""What a machine computes with, found without loading PyTorch: a key must be known before an engine starts."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

# Import name -> distributions whose versions decide what a module of that name computes; others have the same name.
DISTRIBUTIONS = {
    "PIL": ("pillow",),
    "cv2": ("opencv-python-headless", "opencv-python"),
    "mmcv": ("mmcv", "mmcv-lite"),
    "mmseg": ("mmsegmentation", "mmdet", "mmcv", "mmengine"),
    "numba": ("numba", "llvmlite"),
    "nuscenes": ("nuscenes-devkit",),
    "skimage": ("scikit-image",),
    "sklearn": ("scikit-learn",),
}
ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What `auto` chooses by."""

    cuda: bool  # PyTorch can compute on a CUDA device
    gsplat: bool  # the package is installed


@cache
def this_machine() -> Machine:
    """Return what this process would find; asked once, since a change needs a new process anyway."""
    return Machine(cuda=_has_cuda(), gsplat=find_spec("gsplat") is not None)


@cache
def versions_of(library: str) -> dict[str, str]:
    """Return distribution -> installed version of an imported library, `absent` where it is not installed."""
    found = {}
    for name in DISTRIBUTIONS.get(library, (library,)):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ABSENT
    return found


def _has_cuda() -> bool:
    """Return whether PyTorch is built with CUDA, and the driver is new enough and shows a device."""
    built = _built_with_cuda()
    if built is None:
        return False
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count, newest = ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDriverGetVersion(ctypes.byref(newest)):
        return False
    # Within one major version an older driver runs a newer CUDA.
    return not driver.cuDeviceGetCount(ctypes.byref(count)) and count.value > 0 and newest.value // 1000 >= built


def _built_with_cuda() -> int | None:
    """Return the major version of the CUDA that PyTorch is built with, or None; read from its `version.py`."""
    found = find_spec("torch")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).with_name("version.py")
    match = re.search(r"^cuda\b.*=\s*['\"](\d+)", path.read_text(), re.MULTILINE) if path.is_file() else None
    return int(match.group(1)) if match else None
