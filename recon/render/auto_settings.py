"""What the settings `auto` become: pure functions of what a machine has, so that they need no PyTorch."""

from __future__ import annotations

from typing import Literal

RendererName = Literal["auto", "cpu", "gsplat", "reference"]


def resolved_renderer(name: str, *, cuda: bool, gsplat: bool) -> str:
    """Return the renderer: `auto` is gsplat where a CUDA device and the package gsplat are both there, else cpu."""
    if name == "auto":
        return "gsplat" if cuda and gsplat else "cpu"
    return name


def resolved_device(name: str, *, cuda: bool) -> str:
    """Return the device: `auto` is cuda where PyTorch has a CUDA device, else cpu."""
    if name == "auto":
        return "cuda" if cuda else "cpu"
    return name
