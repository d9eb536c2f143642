"""The exponential moving average of a net's weights: what is validated and exported."""

from __future__ import annotations

import torch


@torch.no_grad()
def update_average(average: torch.nn.Module, net: torch.nn.Module, step: int, decay: float) -> None:
    """Move the average towards the net after `step` steps: by 1 - decay, and further while the run is young.

    Integers (counters, queue positions) are copied: they have no average. Parameters that take no gradient are passed
    over: they stay as both nets began.
    """
    keep = min(decay, (1 + step) / (10 + step))
    both = (one.state_dict(keep_vars=True).values() for one in (average, net))
    pairs = [
        (mean, value)
        for mean, value in zip(*both, strict=True)
        if value.requires_grad or not isinstance(value, torch.nn.Parameter)
    ]
    for mean, value in pairs:
        if not mean.dtype.is_floating_point:
            mean.copy_(value)
    # One kernel for many weights: a GPU would wait for the launches of hundreds.
    means, values = zip(*(pair for pair in pairs if pair[0].dtype.is_floating_point), strict=True)
    torch._foreach_lerp_(means, values, 1.0 - keep)
