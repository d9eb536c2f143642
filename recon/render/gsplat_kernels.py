"""gsplat's CUDA kernels: loaded by the fit, compiled only by `python -m recon.render.gsplat_kernels`.

The package on PyPI compiles them on first use: for minutes to an hour, with several gigabytes of memory, and under a
lock that processes race for. A worker must never do that. They are built once a node, by running this module as a
command, and `load` only opens the result.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from functools import cache
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch

from recon.errors import ConfigInvalid, RoadscribeError

EXTENSION = "gsplat_cuda"  # the name under which gsplat builds and its module initialises
COMMAND = "python -m recon.render.gsplat_kernels"
_HINT = f"Run `{COMMAND}` once on this node, or set fit.renderer to cpu."


def built_path() -> Path | None:
    """Return the file of the built kernels, or None. TORCH_EXTENSIONS_DIR changes the folder, as for any extension."""
    from torch.utils.cpp_extension import _get_build_directory

    path = Path(_get_build_directory(EXTENSION, False)) / f"{EXTENSION}.so"
    return path if path.is_file() else None


@cache
def load() -> Any:
    """Return the module gsplat with its kernels loaded; raises ConfigInvalid when this machine lacks any part of it."""
    if find_spec("gsplat") is None:
        hint = f"pip install 'roadscribe[gsplat]', then run `{COMMAND}` once on each node; or set fit.renderer to cpu."
        raise ConfigInvalid("fit.renderer gsplat needs the package gsplat", hint=hint)
    if not torch.cuda.is_available():
        raise ConfigInvalid("fit.renderer is gsplat, but PyTorch finds no CUDA device", hint="Use auto or cpu.")
    gsplat: Any = importlib.import_module("gsplat")
    if find_spec("gsplat.csrc") is None:  # a wheel may contain the kernels
        path = built_path()
        if path is None:
            raise ConfigInvalid("the CUDA kernels of gsplat are not built on this node", hint=_HINT)
        # Under this name gsplat imports the kernels of a wheel; only without them it compiles.
        gsplat.csrc = sys.modules["gsplat.csrc"] = _open(path)
    return gsplat


def _open(path: Path) -> Any:
    spec = spec_from_file_location(EXTENSION, path, loader=ExtensionFileLoader(EXTENSION, str(path)))
    assert spec is not None
    assert spec.loader is not None
    try:
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError as error:
        message = f"the CUDA kernels of gsplat do not load beside PyTorch {torch.__version__}: {error}"
        raise ConfigInvalid(message, where=str(path), hint=f"Remove the file. {_HINT}") from error
    return module


def build() -> Path:
    """Compile the kernels unless they exist, and return their file; raises ConfigInvalid where that is impossible."""
    if find_spec("gsplat") is None:
        raise ConfigInvalid("the package gsplat is not installed", hint="pip install 'roadscribe[gsplat]'")
    if torch.version.cuda is None:
        hint = "Install a CUDA build of PyTorch and the CUDA toolkit of the same version (nvcc)."
        raise ConfigInvalid(f"PyTorch {torch.__version__} is built without CUDA", hint=hint)
    if not torch.cuda.is_available() and not os.environ.get("TORCH_CUDA_ARCH_LIST"):
        hint = 'Set TORCH_CUDA_ARCH_LIST to the GPUs that will run them, e.g. "8.0;9.0".'
        raise ConfigInvalid("this machine has no GPU to compile the kernels for", hint=hint)
    # gsplat would start ten compilers, of up to 4 GB each.
    os.environ.setdefault("MAX_JOBS", str(min(os.cpu_count() or 1, 4)))
    try:
        backend = importlib.import_module("gsplat.cuda._backend")
    except RuntimeError as error:
        hint = "nvcc and PyTorch must be of one CUDA version; with little memory set MAX_JOBS=1."
        raise ConfigInvalid(f"the kernels of gsplat do not compile: {error}", hint=hint) from error
    path = built_path()
    if backend._C is None or path is None:
        hint = "Install the CUDA toolkit of PyTorch's CUDA version, with nvcc on the PATH."
        raise ConfigInvalid("gsplat built nothing because it found no CUDA toolkit", hint=hint)
    return path


def main() -> int:
    """Build the kernels on this node and print their path."""
    try:
        path = build()
    except RoadscribeError as error:
        print(f"error: {error.message}\n  what to do: {error.hint}", file=sys.stderr)
        return 1
    print(json.dumps({"kernels": str(path), "torch": torch.__version__, "cuda": torch.version.cuda}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
