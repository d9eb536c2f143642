"""A fit that was stopped anywhere goes on where it stood, to the bytes of one that was not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slope_world as world

from recon import artifact
from recon.config import FitConfig
from recon.errors import Cancelled
from recon.fit.fit import fit
from recon.fit.resume import checkpoint as checkpoint_module
from recon.fit.resume.checkpoint import Checkpoint, State
from recon.surface.road_surface import RoadSurface
from recon.views.views import Trip


class Steps:
    """Stops a fit at one of its steps, and counts them."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.count, self._stop_after = 0, stop_after

    def __call__(self, done: int, total: int, unit: str = "", /) -> None:
        if unit.startswith("steps"):
            if self.count == self._stop_after:
                raise Cancelled
            self.count += 1


def digest(surface: RoadSurface, folder: Path) -> str:
    return artifact.write(surface, folder).digest


@pytest.mark.slow
@pytest.mark.parametrize("tile_cells", [1_000_000, 40_000])
def test_a_fit_that_was_killed_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tile_cells: int
) -> None:
    drive, labels = world.write_drive(tmp_path / "drive")
    trips, scratch = [Trip(drive=drive, labels=labels)], tmp_path / "scratch"
    config = FitConfig(corridor_m=8.0, max_distance_m=15.0, tile_cells=tile_cells)
    whole = Steps()
    expected = digest(fit(trips, config, whole), tmp_path / "expected")
    monkeypatch.setattr(checkpoint_module, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(checkpoint_module, "MOST_SHARE", 1e9)
    scratch.mkdir()
    counts = []
    # In the first epoch, at its end or so, and in the second one or in another tile.
    for part in (0.3, 0.2, 0.3):
        stopped = Steps(int(part * whole.count))
        with pytest.raises(Cancelled):
            fit(trips, config, stopped, scratch=scratch)
        counts.append(stopped.count)
    rest = Steps()
    resumed = fit(trips, config, rest, scratch=scratch)
    assert digest(resumed, tmp_path / "resumed") == expected
    # Only the step in which it was stopped is done again.
    assert sum(counts) + rest.count <= whole.count + len(counts)


def test_a_damaged_checkpoint_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_module, "SAVE_EVERY_S", 0.0)
    path = tmp_path / "state.npz"
    values = np.random.default_rng(0).normal(size=1000)
    Checkpoint(path).offer(lambda: State(arrays={"values": values}, facts={"done": 3, "seed": 2**100}))
    kept = Checkpoint(path).load()
    assert kept is not None
    assert dict(kept.facts) == {"done": 3, "seed": 2**100}
    assert np.array_equal(kept.arrays["values"], values)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert Checkpoint(path).load() is None
    path.write_bytes(data[: len(data) // 3])
    assert Checkpoint(path).load() is None
    assert Checkpoint(None).load() is None


def test_saving_takes_a_small_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(checkpoint_module.time, "monotonic", lambda: now[0])
    kept, saved = Checkpoint(tmp_path / "state.npz"), []

    def state() -> State:
        saved.append(now[0])
        now[0] += 10.0  # a large tile on a slow disk
        return State(arrays={}, facts={})

    while now[0] < 1000.0:
        kept.offer(state)
        now[0] += 1.0
    assert saved[0] >= 30.0
    assert len(saved) * 10.0 < 0.06 * now[0]
