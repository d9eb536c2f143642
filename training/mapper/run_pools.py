"""The pools of a run: what is learnt from, and what is held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from recon.errors import ConfigInvalid
from training.data.config import SourceConfig
from training.data.place_split import check_apart
from training.data.sampling import open_pools
from training.data.shard_pool import ShardPool
from training.mapper.config import MapperConfig


def open_run(
    config: MapperConfig, training: Sequence[Path], validation: Sequence[Path]
) -> tuple[list[ShardPool], list[ShardPool]]:
    """Return the pools to learn from and the held-out ones: the sources of the settings, and the folders given.

    Raises ConfigInvalid when there is nothing to learn from, when shards do not fit the model, or when a place is both
    learnt and held out; ArtifactInvalid for damaged shards.
    """
    sources = (*config.data.sources, *_source(training))
    if not sources:
        raise ConfigInvalid(
            "there is nothing to learn from", hint="Give --data SHARDS, or data.sources in the settings."
        )
    pools = open_pools(replace(config.data, sources=sources), config.model)
    watched = (*config.validation, *_source(validation))
    held = open_pools(replace(config.data, sources=watched), config.model, split="validation") if watched else []
    check_apart(pools, held)
    return pools, held


def _source(folders: Sequence[Path]) -> tuple[SourceConfig, ...]:
    return (SourceConfig(folders=tuple(map(str, folders))),) if folders else ()
