"""The exported file equals the model, for batches of another size than it was traced with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from random_views import random_views, small_config

from recon.errors import ConfigInvalid
from training.model import onnx_export
from training.model.maptr import MapTR


@pytest.mark.slow
@pytest.mark.parametrize("lift", ["ipm", "lss"])
def test_the_file_equals_torch(lift: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    config = small_config(lift=lift)
    model = MapTR(config).train()
    with torch.no_grad():  # the point heads start at zero: an exported model must move points as well
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    onnx_export.export_onnx(model, tmp_path / "model.onnx")
    assert model.training
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for batch, cameras in ((1, 1), (3, 6)):
        views = random_views(config, batch=batch, cameras=cameras)
        logits, points = session.run(None, {n: getattr(views, n).numpy() for n in onnx_export.INPUTS[lift]})
        with torch.no_grad():
            expected = model.eval()(views)
        assert np.abs(logits - expected.logits[-1].numpy()).max() < 1e-4
        assert np.abs(points - expected.points[-1].numpy()).max() < 1e-4


def test_without_onnx_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(onnx_export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigInvalid, match=r"roadscribe\[onnx\]"):
        onnx_export.export_onnx(MapTR(small_config(image_px=(32, 32))), tmp_path / "model.onnx")
