"""The artifact between shards and a training step."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

import torch

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Views:
    """The cameras of a batch: what a model reads. B samples, V cameras, Z heights, (Hb, Wb) bird's-eye cells.

    A lens of any kind is in `cell_uv` and `rays`; no model knows of one.
    """

    images: Tensor  # (B, V, 3, H, W) u8, RGB
    present: Tensor  # (B, V) bool; images of cameras that a sample lacks are zero
    cell_uv: Tensor  # (B, V, Z, Hb, Wb, 2) f32: where each cell's centre lies, 0..1 of the input; -1 where it is unseen
    rays: Tensor  # (B, V, h, w, 3) f32, ego frame: from a feature cell's centre, length 1 along the optical axis
    origins: Tensor  # (B, V, 3) f32: camera centres in the ego frame, metres
    image_cells: Tensor  # (B, V, h, w) bool: feature cells that show image, not padding, and that the lens images

    def to(self, device: torch.device) -> Self:
        """Return the same on a device."""
        return replace(self, **{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """What is known of the map in a batch's patches. M elements at most, padded; P points; unit coordinates."""

    points: Tensor  # (B, M, P, 2) f32, equal distances apart; of a ring the first is not repeated
    classes: Tensor  # (B, M) i64, index into the model's classes; -1 is padding
    closed: Tensor  # (B, M) bool: a ring, whether an area or a closed line
    seen: Tensor  # (B, M, P) f32, 0..1
    confidence: Tensor  # (B, M, P) f32, 0..1
    known: Tensor  # (B, h, w) bool: row 0 farthest forward, column 0 farthest left
    weight: Tensor  # (B,) f32: of a sample's losses; pseudo labels and true maps can be mixed
    bev: Tensor  # (B, K, Hb, Wb) u8: cells that each class's lines cross or areas cover
    views: Tensor | None = None  # (B, V, 3, h, w) u8: paint, boundary, crossing in a feature cell; 255 is not labelled
    depth: Tensor | None = None  # (B, V, h, w) f32, metres along the optical axis; 0 is not measured

    def to(self, device: torch.device) -> Self:
        """Return the same on a device."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device, non_blocking=True) for k, v in parts.items() if v is not None})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainBatch:
    """One batch of samples."""

    views: Views
    labels: Labels
    world_from_ego: Tensor  # (B, 4, 4) f64
    keys: tuple[str, ...]
    drives: tuple[str, ...]
    places: tuple[str, ...]

    def to(self, device: torch.device) -> Self:
        """Return the same on a device."""
        return replace(self, views=self.views.to(device), labels=self.labels.to(device))
