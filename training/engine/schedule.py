"""AdamW over parameter groups, and its learning rate: linear warm-up, then half a cosine."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from training.engine.config import LoopConfig
from training.engine.task import Group

LOWEST = 0.01  # share of the learning rate that is left at the end


def adamw(groups: Iterable[Group], config: LoopConfig) -> torch.optim.AdamW:
    """Return the optimizer; a group's highest learning rate is its `base`."""
    parts: list[dict[str, Any]] = []
    for group in groups:
        base = config.learning_rate * group.rate
        decay = {} if group.decays else {"weight_decay": 0.0}
        parts.append({"params": list(group.parameters), "base": base, "lr": base} | decay)
    # One kernel for all parameters: the plain form takes a dozen small steps for each.
    devices = {parameter.device.type for part in parts for parameter in part["params"]}
    fused = devices in ({"cpu"}, {"cuda"})
    return torch.optim.AdamW(parts, betas=config.betas, weight_decay=config.weight_decay, fused=fused)


def set_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Give every group a share of its highest learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["base"] * share


def rate_share(step: int, config: LoopConfig) -> float:
    """Return the share of the learning rate at a step: linear warm-up, then half a cosine down to 1 %."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    return warm * (LOWEST + (1.0 - LOWEST) * 0.5 * (1.0 + math.cos(math.pi * min(step / config.steps, 1.0))))
