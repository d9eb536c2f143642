"""Which renderer a fit uses, and on which device: chosen by name, never compiled on the way."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

import torch

from recon.render import cpu, reference
from recon.render.surfels import Renderer

RendererName = Literal["auto", "cpu", "gsplat", "reference"]


def choose(name: RendererName) -> tuple[Renderer, torch.device]:
    """Return the renderer of a name and the device of its tensors.

    `auto` is gsplat where a CUDA device and the package gsplat are both there, else cpu. Raises ConfigInvalid when
    gsplat is chosen, by name or by `auto`, and cannot run on this machine as it is.
    """
    if name == "gsplat" or (name == "auto" and torch.cuda.is_available() and find_spec("gsplat") is not None):
        from recon.render import gsplat, gsplat_kernels

        gsplat_kernels.load()
        return gsplat.render, torch.device("cuda")
    return (reference if name == "reference" else cpu).render, torch.device("cpu")
