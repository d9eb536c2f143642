"""The exponential moving average of a net's weights: what is validated and exported."""

from __future__ import annotations

import torch


@torch.no_grad()
def update_average(average: torch.nn.Module, net: torch.nn.Module, step: int, decay: float) -> None:
    """Move the average towards the net after `step` steps: by 1 - decay, and further while the run is young.

    Integers (counters, queue positions) are copied: they have no average.
    """
    keep = min(decay, (1 + step) / (10 + step))
    for mean, value in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(value, 1.0 - keep)
        else:
            mean.copy_(value)
