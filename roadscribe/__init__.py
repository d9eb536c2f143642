"""The public Python API: what the command line does, for programs. Each name is loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.client import Client
    from service.execution.local_run import label
    from service.webhooks.signature import verify_webhook
    from training.data.shard_dataset import ShardDataset
    from vectorize.evaluate.evaluate_result import evaluate

__all__ = ["Client", "ShardDataset", "evaluate", "label", "verify_webhook"]

_HOMES = {
    "Client": "service.client",
    "ShardDataset": "training.data.shard_dataset",
    "evaluate": "vectorize.evaluate.evaluate_result",
    "label": "service.execution.local_run",
    "verify_webhook": "service.webhooks.signature",
}


def __getattr__(name: str) -> Any:
    """Return a name of the API; PyTorch is loaded with ShardDataset only."""
    if name not in _HOMES:
        raise AttributeError(f"module 'roadscribe' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
