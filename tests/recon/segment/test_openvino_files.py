"""The files of a net: found by name, and all of them in its digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from recon.config import SegmentConfig
from recon.errors import ModelInvalid
from recon.segment.openvino_files import weight_files, weights_digest
from workers.jobs.net import segment_identity


def test_weights_beside_an_onnx_net_belong_to_its_digest_and_to_the_identity_of_its_job(tmp_path: Path) -> None:
    net = tmp_path / "net.onnx"
    net.write_bytes(b"net")
    config = SegmentConfig(backend="openvino", weights=str(net))
    alone = segment_identity(config)["weights"]
    for name in ("net.onnx.data", "net.onnx_data"):
        (tmp_path / name).write_bytes(b"weights")
    (tmp_path / "other.onnx.data").write_bytes(b"of another net")
    assert [path.name for path in weight_files(net)] == ["net.onnx", "net.onnx.data", "net.onnx_data"]
    both = segment_identity(config)["weights"]
    assert both == weights_digest(net) != alone
    (tmp_path / "net.onnx.data").write_bytes(b"others")
    assert segment_identity(config)["weights"] not in (alone, both)


@pytest.mark.parametrize("name", ["net.onnx", "net.xml"])
def test_a_missing_file_is_named_with_a_way_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelInvalid, match="does not exist") as caught:
        weight_files(tmp_path / name)
    assert "segment.weights" in caught.value.hint


def named(location: str) -> bytes:
    """Return the bytes of an ONNX tensor's entry that names a file of weights, between others."""
    text = location.encode()
    return b"\x08\x01" + b"\x0a\x08location\x12" + bytes([len(text)]) + text + b"\x0a\x06offset\x12\x010"


def test_files_that_a_net_names_belong_to_its_digest_whatever_they_are_called(tmp_path: Path) -> None:
    net = tmp_path / "one.onnx"
    net.write_bytes(named("weights.bin") + b"..." + named("more/w.data"))
    with pytest.raises(ModelInvalid, match=r"does not exist, and the net keeps weights in it"):
        weight_files(net)
    (tmp_path / "more").mkdir()
    for name in ("weights.bin", "more/w.data"):
        (tmp_path / name).write_bytes(b"a")
    assert [path.name for path in weight_files(net)] == ["one.onnx", "w.data", "weights.bin"]
    before = weights_digest(net)
    (tmp_path / "more" / "w.data").write_bytes(b"b")
    assert weights_digest(net) != before


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "a/../../w"])
def test_weights_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "one.onnx").write_bytes(named(location))
    with pytest.raises(ModelInvalid, match="outside its folder"):
        weight_files(tmp_path / "one.onnx")
