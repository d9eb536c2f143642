"""The public API: its names, none of them loaded before it is used, and PyTorch with a dataset only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import straight_road

import roadscribe
from recon.errors import ConfigInvalid

ROOT = Path(__file__).parents[2]


def test_every_name_is_there_and_documented():
    for name in roadscribe.__all__:
        assert getattr(roadscribe, name).__doc__
    with pytest.raises(AttributeError, match="nothing"):
        roadscribe.nothing  # noqa: B018 - reading it is the test


@pytest.mark.slow
def test_pytorch_comes_with_a_dataset_only():
    code = """
import json, sys
import roadscribe
loaded = {"import": "torch" in sys.modules}
for name in ("Client", "label", "evaluate", "verify_webhook", "ShardDataset"):
    getattr(roadscribe, name)
    loaded[name] = "torch" in sys.modules
print(json.dumps(loaded))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    expected = dict.fromkeys(("import", "Client", "label", "evaluate", "verify_webhook"), False) | {
        "ShardDataset": True
    }
    assert json.loads(done.stdout) == expected


def test_a_faulty_setting_is_named(tmp_path):
    with pytest.raises(ConfigInvalid, match="cell"):
        roadscribe.label(tmp_path, tmp_path / "out", fit={"cell": 1})


@pytest.mark.slow
def test_a_drive_is_labelled_and_measured(tmp_path):
    drive = straight_road.write(tmp_path / "drive")
    report = roadscribe.label(drive, tmp_path / "out", fit={"cell_m": 0.3, "corridor_m": 6.0, "epochs": 1})
    assert (tmp_path / "out" / "map.geojson").is_file()
    assert [one["name"] for one in report["stages"]][-1] == "draw"
    assert roadscribe.evaluate(tmp_path / "out")["site"] is None
