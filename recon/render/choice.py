"""Chooses the renderer of a fit and its device by name; it never compiles one."""

from __future__ import annotations

from importlib.util import find_spec

import torch

from recon.render import cpu, reference
from recon.render.auto_settings import RendererName, resolved_renderer
from recon.render.surfels import Renderer


def choose(name: RendererName) -> tuple[Renderer, torch.device]:
    """Return the renderer of a name and the device of its tensors.

    `auto` is gsplat where both a CUDA device and the package gsplat exist, else cpu. Raises ConfigInvalid when
    gsplat is chosen, by name or by `auto`, and cannot run on this machine as it is.
    """
    has_cuda = name == "auto" and torch.cuda.is_available()
    chosen = resolved_renderer(name, cuda=has_cuda, gsplat=find_spec("gsplat") is not None)
    if chosen == "gsplat":
        from recon.render import gsplat, gsplat_kernels

        gsplat_kernels.load()
        return gsplat.render, torch.device("cuda")
    return (reference if chosen == "reference" else cpu).render, torch.device("cpu")
