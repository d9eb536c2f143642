"""An experiment runs all arms, keeps what is finished, and prints a table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import small_mapper
import small_shards

from recon.errors import ConfigInvalid
from training.experiments.run import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # kernels of a fresh clone are compiled first

EXPERIMENT = """
title = "Small"
held = 1
truth = "pseudo"
config = "small.toml"
seeds = [1, 2]
[[arms]]
name = "one"
sources = [{ labels = "pseudo" }]
[[arms]]
name = "two"
sources = [{ labels = "pseudo" }]
init = "one"
set = ["loss.mask_aware=false", "steps=1"]
"""


def test_arms_are_trained_measured_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for town in ("a", "b", "c"):
        made = small_shards.write(tmp_path / "made", name=town)
        shutil.copytree(made, tmp_path / "shards/pseudo" / town)
    (tmp_path / "small.toml").write_text(small_mapper.TOML)
    (tmp_path / "arms.toml").write_text(EXPERIMENT)
    arguments = [str(tmp_path / name) for name in ("arms.toml", "shards", "out")]
    assert main([*arguments, "one"]) == 0
    first = (tmp_path / "out/one-2/result.json").stat().st_mtime_ns
    assert main(arguments) == 0
    assert (tmp_path / "out/one-2/result.json").stat().st_mtime_ns == first
    result = json.loads((tmp_path / "out/two-1/result.json").read_text())
    assert result["held"] == ["c"]
    assert result["steps"] == 1
    card = json.loads((tmp_path / "out/two-1/model/model.json").read_text())["provenance"]
    assert card["init"] == json.loads((tmp_path / "out/one-1/model/model.json").read_text())["weights_sha256"]
    # Other settings: the figure that is there is not theirs. A result of an older version is taken as it is.
    arms, kept = tmp_path / "arms.toml", tmp_path / "out/two-1/result.json"
    arms.write_text(EXPERIMENT.replace("steps=1", "steps=2"))
    with pytest.raises(ConfigInvalid, match=r"other settings.*two-1.*another OUT"):
        main([*arguments, "two"])
    arms.write_text(EXPERIMENT.replace("held = 1", "held = 2"))
    with pytest.raises(ConfigInvalid, match=r"one-1"):
        main(arguments)
    arms.write_text(EXPERIMENT)
    kept.write_text(json.dumps({name: value for name, value in result.items() if name != "settings"}))
    (tmp_path / "out/one-2/result.json").unlink()
    (tmp_path / "out/two-2/result.json").unlink()
    with pytest.raises(ConfigInvalid, match="one-2, which has no result"):
        main([*arguments, "two"])
    capsys.readouterr()
    assert main(arguments) == 0
    text = (tmp_path / "out/results.md").read_text()
    assert "| one | 8 |" in text
    assert "| two | 8 |" in text
    assert text in capsys.readouterr().out
