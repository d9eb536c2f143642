"""The exponential moving average of a net's weights: what is validated and exported."""

from __future__ import annotations

import torch


@torch.no_grad()
def update_average(average: torch.nn.Module, net: torch.nn.Module, step: int, decay: float) -> None:
    """Move the average towards the net after `step` steps: by 1 - decay, and further while the run is young.

    Integers (counters, queue positions) are copied: they have no average.
    """
    keep = min(decay, (1 + step) / (10 + step))
    pairs = list(zip(average.state_dict().values(), net.state_dict().values(), strict=True))
    for mean, value in pairs:
        if not mean.dtype.is_floating_point:
            mean.copy_(value)
    # One kernel for many weights: a GPU would wait for the launches of hundreds.
    means, values = zip(*(pair for pair in pairs if pair[0].dtype.is_floating_point), strict=True)
    torch._foreach_lerp_(means, values, 1.0 - keep)
