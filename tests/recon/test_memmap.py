from pathlib import Path

import numpy as np
import pytest

from recon import artifact, memmap
from recon.bev.bev_map import BevBlocks
from recon.memmap import MemmapBuilder, in_chunks, on_file, release


def test_rows_appended_are_rows_read(tmp_path: Path) -> None:
    growing = MemmapBuilder(np.float32, (3,), tmp_path)
    parts = [np.random.default_rng(i).normal(size=(i, 3)).astype(np.float32) for i in range(5)]
    for part in parts:
        growing.append(part)
    rows = growing.finish()
    assert on_file(rows[2:])
    assert not list(tmp_path.iterdir())
    release(rows)
    assert np.array_equal(rows, np.concatenate(parts))


def test_nothing_appended_is_an_empty_array() -> None:
    assert MemmapBuilder(np.uint8, (2, 2)).finish().shape == (0, 2, 2)


def test_rows_of_another_kind_are_refused() -> None:
    growing = MemmapBuilder(np.uint8, (2,))
    with pytest.raises(ValueError, match="do not continue"):
        growing.append(np.zeros((1, 2), np.int64))


def test_an_array_on_file_is_written_as_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memmap, "CHUNK_BYTES", 1000)
    rows = np.random.default_rng(0).normal(size=(300, 4))
    growing = MemmapBuilder(rows.dtype, (4,))
    growing.append(rows)
    mapped = growing.finish()
    assert sum(len(chunk) for chunk in in_chunks(mapped)) == 300
    for name, array in (("a.npy", mapped), ("b.npy", rows)):
        artifact._save(tmp_path / name, array)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_an_artifact_read_as_a_map_lies_in_its_files(tmp_path: Path) -> None:
    assert BevBlocks.kind == "BevMap"
    np.save(tmp_path / "x.npy", np.arange(10))
    assert on_file(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert not on_file(np.load(tmp_path / "x.npy"))
