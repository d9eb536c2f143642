"""A term of the loss before it is normalised."""

from __future__ import annotations

from dataclasses import dataclass

import torch

Tensor = torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """The sum of a term on this worker, and what it is divided by when the counts of all workers are known."""

    total: Tensor  # () f32
    count: Tensor  # () f32
