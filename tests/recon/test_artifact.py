import errno
import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from recon import artifact
from recon.artifact import Parts, atomic_folder, canonical_json, read, read_manifest, seal, write
from recon.errors import ArtifactForeign, ArtifactInvalid, ArtifactTooNew, DiskFull, RoadscribeError


@dataclass(frozen=True, kw_only=True, eq=False)
class Heights:
    kind: ClassVar[str] = "Heights"
    schema: ClassVar[int] = 2

    name: str
    z: np.ndarray

    def to_parts(self) -> Parts:
        return Parts(meta={"name": self.name}, arrays={"z": self.z})

    @classmethod
    def from_parts(cls, parts: Parts) -> "Heights":
        return cls(name=parts.meta["name"], z=parts.arrays["z"])


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    write(Heights(name="hill", z=np.arange(6.0).reshape(2, 3)), tmp_path / "a", parents={"drive": "d" * 64}, config="c")
    return tmp_path / "a"


def test_what_is_written_is_read(stored: Path) -> None:
    back = read(Heights, stored)
    assert back.name == "hill"
    assert np.array_equal(back.z, np.arange(6.0).reshape(2, 3))
    manifest = read_manifest(stored, kind="Heights", schema=2)
    assert manifest.parents == {"drive": "d" * 64}
    assert manifest.config == "c"


def test_the_digest_names_the_content_not_the_place_nor_the_provenance(stored: Path, tmp_path: Path) -> None:
    again = write(Heights(name="hill", z=np.arange(6.0).reshape(2, 3)), tmp_path / "b")
    other = write(Heights(name="hill", z=np.arange(6.0).reshape(2, 3) + 1e-9), tmp_path / "c")
    assert again.digest == read_manifest(stored, kind="Heights", schema=2).digest
    assert other.digest != again.digest
    assert (tmp_path / "b" / "z.npy").read_bytes() == (stored / "z.npy").read_bytes()


def test_a_truncated_file_is_refused(stored: Path) -> None:
    file = stored / "z.npy"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ArtifactInvalid, match=r"changed or is truncated.*z\.npy"):
        read(Heights, stored)


def test_a_missing_file_is_refused(stored: Path) -> None:
    (stored / "z.npy").unlink()
    with pytest.raises(ArtifactInvalid, match="missing"):
        read(Heights, stored)


def test_a_truncated_manifest_is_refused(stored: Path) -> None:
    path = stored / "manifest.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(ArtifactInvalid, match="not valid JSON"):
        read(Heights, stored)


def test_an_edited_manifest_is_refused(stored: Path) -> None:
    path = stored / "manifest.json"
    path.write_text(path.read_text().replace("hill", "dale"))
    with pytest.raises(ArtifactInvalid, match="own digest"):
        read(Heights, stored)


@pytest.mark.parametrize("body", ["{}", "[]", '{"format": "other"}', "null"])
def test_a_foreign_manifest_is_refused(tmp_path: Path, body: str) -> None:
    (tmp_path / "manifest.json").write_text(body)
    with pytest.raises(ArtifactForeign):
        read(Heights, tmp_path)


def test_a_folder_without_manifest_is_foreign(tmp_path: Path) -> None:
    with pytest.raises(ArtifactForeign, match=r"no manifest\.json"):
        read(Heights, tmp_path / "nowhere")


def test_a_newer_schema_is_refused_with_the_way_out(stored: Path) -> None:
    path = stored / "manifest.json"
    body = json.loads(path.read_text())
    path.write_text(json.dumps({**body, "schema": 3}))
    with pytest.raises(ArtifactTooNew, match="Upgrade Roadscribe"):
        read(Heights, stored)


def test_arrays_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "a") as scratch:
        seal(scratch, kind="Heights", schema=2, meta={"name": "hill"})
    with pytest.raises(ArtifactInvalid, match="are not those of"):
        read(Heights, tmp_path / "a")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="Free some space"), atomic_folder(tmp_path / "a") as scratch:
        (scratch / "z.npy").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_second_writer_of_the_same_artifact_keeps_the_first(stored: Path) -> None:
    write(Heights(name="hill", z=np.arange(6.0).reshape(2, 3)), stored)
    assert sorted(p.name for p in stored.parent.iterdir()) == ["a"]


def test_write_atomic_replaces_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.json"
    artifact.write_atomic(path, b"one")
    artifact.write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]


def test_canonical_json_has_one_form() -> None:
    assert canonical_json({"b": 1, "a": [1.5, "é"]}) == '{"a":[1.5,"é"],"b":1}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})


def test_errors_survive_a_process_border() -> None:
    import pickle

    error = DiskFull("full", where="frame 3", hint="Free some space.")
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back)) == (DiskFull, str(error))
    assert back.record()["code"] == "DISK_FULL"
    assert str(RoadscribeError()) == "An internal error of Roadscribe."
