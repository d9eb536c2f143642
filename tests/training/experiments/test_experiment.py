"""Every experiment that is shipped parses, with settings that exist; towns are split by name; faults are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from recon.errors import ConfigInvalid
from training.experiments.experiment import SourcePlan, read_experiment, source_of, towns_of
from training.mapper.config_file import read_config

FOLDER = Path(__file__).parents[3] / "training" / "experiments"
EXPERIMENTS = sorted(path for path in FOLDER.glob("*.toml") if "[[arms]]" in path.read_text())


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_shipped_experiment_has_settings_that_exist(path: Path) -> None:
    experiment = read_experiment(path)
    assert len(experiment.seeds) == 3
    shapes = [read_config(FOLDER / experiment.config, [*arm.set, "seed=1"]).model for arm in experiment.arms]
    assert len(set(map(str, shapes))) == 1  # arms that go on from others have their shape


def test_towns_are_those_that_have_all_labels(tmp_path: Path) -> None:
    for kind, towns in (("pseudo", ("c", "a", "b", ".d")), ("true", ("a", "b", "c", "e"))):
        for town in towns:
            (tmp_path / kind / town).mkdir(parents=True)
    assert towns_of(tmp_path, {"pseudo", "true"}, 1) == (["a", "b"], ["c"])
    with pytest.raises(ConfigInvalid, match="3 towns"):
        towns_of(tmp_path, {"pseudo", "true"}, 3)
    source = source_of(SourcePlan(labels="true", pictures="pseudo", fraction=0.1), tmp_path, ["a"])
    assert source.folders == (str(tmp_path / "true/a"),)
    assert source.pictures == (str(tmp_path / "pseudo/a"),)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("title = 'x'\nheld = 1\narms = []", "names of their own"),
        ("title = 'x'\nheld = 1\n[[arms]]\nname = 'a'\ninit = 'b'\nsources = [{labels = 'true'}]", "before it"),
        ("title = 'x'\nheld = 1\n[[arms]]\nname = 'a'\nsource = []", "arms.0.source"),
        ("title = ", "cannot be read"),
    ],
)
def test_a_faulty_experiment_is_refused(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ConfigInvalid, match=named):
        read_experiment(tmp_path / "x.toml")
