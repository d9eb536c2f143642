"""Exports of a result whose parts are known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import small_site

from recon import artifact
from recon.errors import ArtifactForeign, ConfigInvalid
from vectorize.formats.catalog import format_named
from workers.jobs.export import artifacts_of
from workers.stages.export import write_format
from workers.store import Store


def poses(tmp_path, report):
    """Return the (x, y) at which a MapTRv2 file places each image's vehicle, of a surface with this report."""
    drive = small_site.drive(tmp_path)
    surface = replace(small_site.surface(), report=report)
    parts = {"DriveLog": drive, "RoadSurface": surface, "LabelSet": small_site.labels(drive)}
    folders = {kind: tmp_path / kind for kind in parts}
    for kind, one in parts.items():
        artifact.write(one, folders[kind])
    (data,) = write_format(format_named("maptrv2"), "a", folders).files.values()
    cameras = [camera for info in json.loads(data)["infos"] for camera in info["cams"].values()]
    return np.array([camera["ego2global_translation"][:2] for camera in cameras])


def test_exports_carry_the_poses_that_the_labels_were_cropped_by(tmp_path):
    count = len(small_site.drive(tmp_path).frames)
    moved = {"poses": {"correction": [[0.5, -0.25, 0.0, 0.0]] * count}}
    stated, corrected = poses(tmp_path / "stated", {}), poses(tmp_path / "corrected", moved)
    np.testing.assert_allclose(corrected - stated, [[0.5, -0.25]] * len(stated), rtol=0, atol=1e-6)


def test_a_result_whose_parts_are_gone_says_so(tmp_path):
    store = Store(tmp_path, 0)
    names = ("ingest", "fit", "bake", "trace", "crop")
    report = {"stages": [{"name": name, "key": "1"} for name in names]}
    with pytest.raises(ArtifactForeign, match="DriveLog of this result is not here"):
        artifacts_of(report, store)
    with pytest.raises(ArtifactForeign, match="names no DriveLog"):
        artifacts_of({"stages": [{"name": "first", "key": "1"}]}, store)
    with pytest.raises(ConfigInvalid, match="no trip 3"):
        artifacts_of({"stages": [{"name": "place 1", "key": "1"}]}, store, trip=3)
    with pytest.raises(ConfigInvalid, match="no trip 2"):
        artifacts_of(report, store, trip=2)  # a label job has one drive
