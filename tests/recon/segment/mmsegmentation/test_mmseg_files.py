"""The files of an mmsegmentation model: read as data, refused where they hold code."""

from __future__ import annotations

import pprint
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_mmseg
from hypothesis import given
from hypothesis import strategies as st

from recon.config import SegmentConfig
from recon.errors import ConfigInvalid, ModelInvalid
from recon.segment.mmsegmentation.mmseg_files import Scale, find_files, read_config, scale_of
from workers.jobs.net import segment_identity

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "net.pth").write_bytes(b"weights")
    tiny_mmseg.write_config(tmp_path / "net.py", tiny_mmseg.body(9))
    return tmp_path / "net.pth"


@given(value=plain)
def test_plain_data_comes_back(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("config") / "net.py"
    path.write_text(f'"""A title."""\nmodel = {pprint.pformat(value)}\n', encoding="utf-8")
    assert read_config(path) == {"model": value}


def test_dict_calls_are_data(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text("model = dict(type='EncoderDecoder', head=dict(strides=[4, 8], weight=-1.5, size=(64, 96)))\n")
    assert read_config(path)["model"]["head"] == {"strides": [4, 8], "weight": -1.5, "size": (64, 96)}


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "model = open('ran', 'w').close()",
        "model = dict(**open('ran', 'w'))",
        "model = dict([('a', 1)])",
        "model = {**{}}",
        "model = [x for x in range(3)]",
        "model = f'{1}'",
        "model = other",
        "a, b = 1, 2",
        "model.head = 1",
        "if True:\n    model = 1",
        "open('ran', 'w').close()",
        "model = 9 ** 9 ** 9",
        "model = 'x' * 10 ** 12",
    ],
)
def test_code_is_refused_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.py"
    path.write_text(f"crop_size = (64, 96)\n{text}\n")
    with pytest.raises(ModelInvalid, match="holds code, which Roadscribe never runs") as caught:
        read_config(path)
    assert caught.value.where == f"{path}:2"
    assert "dump" in caught.value.hint
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("_base_ = ['base.py']", "inherits from other files"),
        ("custom_imports = dict(imports=['mine'])", "imports modules of its own"),
        ("model = (", "does not parse"),
        ("model = '\0'", "does not parse"),
        (f"model = {'[' * 90}{']' * 90}\nmore = {'-' * 5000}1", "does not parse|nested too deep|holds code"),
    ],
)
def test_what_cannot_be_read_as_data_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "net.py"
    path.write_text(text)
    with pytest.raises(ModelInvalid, match=message):
        read_config(path)


def test_the_configuration_lies_beside_the_checkpoint(files: Path) -> None:
    assert find_files(files).config == files.with_suffix(".py")
    files.with_suffix(".py").rename(files.with_name("mask2former_swin.py"))
    assert find_files(files).config.name == "mask2former_swin.py"
    files.with_name("other.py").write_text("")
    with pytest.raises(ModelInvalid, match=r"net\.py does not exist, and 2 other \.py files"):
        find_files(files)


def test_a_missing_or_foreign_checkpoint_is_named(files: Path) -> None:
    with pytest.raises(ModelInvalid, match=r"not a \.pth file"):
        find_files(files.with_suffix(".py"))
    files.unlink()
    with pytest.raises(ModelInvalid, match="does not exist") as caught:
        find_files(files)
    assert caught.value.where == str(files)


def test_the_stage_key_names_both_files_by_content(files: Path, tmp_path: Path) -> None:
    config = SegmentConfig(backend="mmseg", weights=str(files), class_map="roadscribe")
    before = segment_identity(config)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("net.py", "net.pth"):
        (moved / name).write_bytes((tmp_path / name).read_bytes())
    assert segment_identity(replace(config, weights=str(moved / "net.pth"))) == before
    (tmp_path / "net.py").write_text("model = 1")
    assert segment_identity(config) != before


def test_a_class_map_is_required() -> None:
    with pytest.raises(ConfigInvalid, match=r"segment\.class_map"):
        SegmentConfig(backend="mmseg", weights="net.pth")


def test_the_test_pipeline_says_the_working_size() -> None:
    scale = scale_of(tiny_mmseg.body(9), where="")
    assert scale == Scale(size_px=(96, 64), keep_ratio=True)
    assert scale.of(192, 96) == (96, 48)  # as mmcv rounds: the bound that is met first
    assert scale.of(96, 192) == (48, 96)
    assert Scale(size_px=(96, 64), keep_ratio=False).of(1, 1) == (96, 64)
    nested = {"test_dataloader": {"dataset": {"pipeline": [{"type": "mmseg.Resize", "scale": [32, 32]}]}}}
    assert scale_of(nested, where="") == Scale(size_px=(32, 32), keep_ratio=False)
    assert scale_of({"model": {}}, where="") is None
    with pytest.raises(ModelInvalid, match="RandomCrop"):
        scale_of({"test_pipeline": [{"type": "RandomCrop"}]}, where="net.py")
