import os

import pytest

from recon.errors import PathRefused
from service.roots import resolve_below


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    (root / "drive").mkdir(parents=True)
    (root / "drive" / "model.xml").touch()
    (tmp_path / "secret").mkdir()
    (tmp_path / "rootless").mkdir()
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "inner").symlink_to(root / "drive")
    os.mkfifo(root / "pipe")
    return root


def test_paths_below_a_root_are_taken(root, tmp_path):
    (tmp_path / "alias").symlink_to(root)
    assert resolve_below([root], f"{root}/drive/") == root / "drive"
    assert resolve_below([tmp_path / "none", root], f"{root}/drive/model.xml") == root / "drive" / "model.xml"
    assert resolve_below([root], str(root)) == root
    assert resolve_below([tmp_path / "alias"], f"{tmp_path}/alias/drive") == root / "drive"
    assert resolve_below([tmp_path / "alias"], f"{root}/drive") == root / "drive"


@pytest.mark.parametrize(
    "path",
    [
        "{tmp}/secret",
        "{tmp}/rootless",
        "{root}/../secret",
        "{root}/drive/../../secret",
        "{root}/link",
        "{root}/link/x",
        "{root}/inner",
        "{root}/missing",
        "{root}/pipe",
        "{root}/drive/model.xml/x",
        "{root}/drive\0",
        "drive",
        "/etc/passwd",
        "",
        "file://{root}/drive",
    ],
)
def test_everything_else_is_refused_in_the_same_words(root, tmp_path, path):
    with pytest.raises(PathRefused) as caught:
        resolve_below([root], path.format(root=root, tmp=tmp_path))
    assert str(tmp_path) not in str(caught.value)
    assert caught.value.message == "the path may not be read"


def test_without_roots_nothing_is_read(root):
    with pytest.raises(PathRefused):
        resolve_below([], str(root))


def test_the_api_refuses_with_the_field(http, service):
    outside = {"kind": "label", "drive": "/etc"}
    answer = http.post("/v1/jobs", json=outside)
    assert (answer.status_code, answer.json()["code"]) == (403, "PATH_REFUSED")
    assert answer.json()["errors"][0]["pointer"] == "/drive"
    drive = service.home / "roots" / "empty"
    drive.mkdir(exist_ok=True)
    segment = {"backend": "openvino", "weights": "/etc/passwd"}
    answer = http.post("/v1/jobs", json={"kind": "label", "drive": str(drive), "segment": segment})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (403, "/segment/weights")
    missing = http.post("/v1/jobs", json={"kind": "label", "drive": str(drive / "missing")}).json()
    assert {**missing, "errors": 0} == {**http.post("/v1/jobs", json=outside).json(), "errors": 0}


def test_every_drive_of_an_aggregate_job_passes_the_gate(http, service):
    drive = service.home / "roots" / "empty"
    drive.mkdir(exist_ok=True)
    drives = [{"drive": str(drive)}, {"drive": "/etc"}]
    answer = http.post("/v1/jobs", json={"kind": "aggregate", "drives": drives})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (403, "/drives/1/drive")
    alone = http.post("/v1/jobs", json={"kind": "aggregate", "drives": drives[:1]})
    assert (alone.status_code, alone.json()["errors"][0]["pointer"]) == (422, "/drives")


def test_the_shipped_net_is_no_path(http, service):
    drive = service.home / "roots" / "empty"
    drive.mkdir(exist_ok=True)
    segment = {"backend": "mask2former", "weights": "demo_city"}
    answer = http.post("/v1/jobs", json={"kind": "label", "drive": str(drive), "segment": segment})
    assert answer.status_code == 202
    assert answer.json()["spec"]["segment"]["weights"] == "demo_city"


def test_the_weights_beside_a_model_pass_the_same_gate(root, tmp_path):
    (root / "drive" / "model.bin").touch()
    assert resolve_below([root], f"{root}/drive/model.xml") == root / "drive" / "model.xml"
    (root / "drive" / "model.bin").unlink()
    (tmp_path / "secret" / "model.bin").touch()
    (root / "drive" / "model.bin").symlink_to(tmp_path / "secret" / "model.bin")
    with pytest.raises(PathRefused):
        resolve_below([root], f"{root}/drive/model.xml")


def test_the_data_beside_an_onnx_net_passes_the_same_gate(root, tmp_path):
    (root / "drive" / "net [1].onnx").touch()
    (root / "drive" / "net [1].onnx.data").touch()
    assert resolve_below([root], f"{root}/drive/net [1].onnx") == root / "drive" / "net [1].onnx"
    (root / "drive" / "net [1].onnx.data").unlink()
    (tmp_path / "secret" / "weights").touch()
    (root / "drive" / "net [1].onnx.data").symlink_to(tmp_path / "secret" / "weights")
    with pytest.raises(PathRefused):
        resolve_below([root], f"{root}/drive/net [1].onnx")


def test_the_configuration_beside_a_checkpoint_passes_the_same_gate(root, tmp_path):
    (root / "drive" / "net.pth").touch()
    (root / "drive" / "net.py").touch()
    assert resolve_below([root], f"{root}/drive/net.pth") == root / "drive" / "net.pth"
    (root / "drive" / "net.py").unlink()
    (tmp_path / "secret" / "net.py").touch()
    (root / "drive" / "net.py").symlink_to(tmp_path / "secret" / "net.py")
    with pytest.raises(PathRefused):
        resolve_below([root], f"{root}/drive/net.pth")
