"""An experiment as a TOML file: its arms, their seeds, and the towns that are held out. Torch-free."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from recon.config import require
from recon.errors import ConfigInvalid
from training.data.config import SourceConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePlan:
    """What an arm learns from: SHARDS/`labels`/TOWN of all towns that are not held out."""

    labels: str  # folder of the kind of labels
    pictures: str = ""  # kind of labels whose shards lend their images, where these have none
    share: float = 1.0  # as in `training.data.config.SourceConfig`, the others too
    weight: float = 1.0
    fraction: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to train."""

    name: str
    sources: tuple[SourcePlan, ...]
    set: tuple[str, ...] = ()  # changes of settings, as --set of `roadscribe train`
    init: str = ""  # arm whose model of the same seed this one goes on from


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Arms that are compared."""

    title: str
    arms: tuple[Arm, ...]
    held: int  # towns, the last by name
    truth: str = "true"  # kind of labels that the held-out towns are measured against
    pictures: str = ""  # kind of labels that lends their images
    config: str = "tiny.toml"  # beside the experiment
    seeds: tuple[int, ...] = (1, 2, 3)

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        require(bool(names) and len(set(names)) == len(names), "experiment: arms must have names of their own")
        require(self.held >= 1 and len(self.seeds) >= 1, "experiment: held and seeds must not be empty")
        for number, arm in enumerate(self.arms):
            known = not arm.init or arm.init in names[:number]
            require(known, f"experiment: {arm.name} goes on from {arm.init}, which must stand before it")
            require(bool(arm.sources), f"experiment: {arm.name} learns from nothing")


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid")
    experiment: Experiment


def read_experiment(path: Path) -> Experiment:
    """Return the experiment in a TOML file; ConfigInvalid for an unknown name, a wrong type or a missing file."""
    try:
        body = json.dumps(tomllib.loads(path.read_text(encoding="utf-8")))
        return _Checked.model_validate_json(f'{{"experiment": {body}}}', strict=True).experiment
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, TypeError) as error:
        raise ConfigInvalid(f"the experiment cannot be read: {error}", where=str(path)) from error
    except ValidationError as error:
        faults = error.errors(include_url=False)
        named = "; ".join(f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in faults)
        raise ConfigInvalid(named, where=str(path)) from None


def towns_of(shards: Path, kinds: set[str], held: int) -> tuple[list[str], list[str]]:
    """Return the names of the towns to learn from and of the held-out ones: those that every kind of labels has."""
    found = [{path.name for path in (shards / kind).glob("[!.]*") if path.is_dir()} for kind in sorted(kinds)]
    names = sorted(set.intersection(*found)) if found else []
    if len(names) <= held:
        hint = f"Expected SHARDS/KIND/TOWN of {', '.join(sorted(kinds))}, more than {held} towns."
        raise ConfigInvalid(f"there are {len(names)} towns with all labels", where=str(shards), hint=hint)
    return names[:-held], names[-held:]


def source_of(plan: SourcePlan, shards: Path, towns: list[str]) -> SourceConfig:
    """Return a source of a run."""
    pictures = tuple(str(shards / plan.pictures / town) for town in towns) if plan.pictures else ()
    return SourceConfig(
        folders=tuple(str(shards / plan.labels / town) for town in towns),
        pictures=pictures,
        share=plan.share,
        weight=plan.weight,
        fraction=plan.fraction,
    )
