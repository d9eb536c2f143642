"""Several workers take the steps of one, on a real local Ray cluster; they stop, die and go on as one does."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch
from toy_regression import CONFIG, CPU, PlainTask, ToyTask

from recon.errors import Cancelled, ConfigInvalid, ModelInvalid, PathRefused, WorkerLost
from training.engine.distributed import run_on_workers
from training.engine.log import rows
from training.engine.loop import run
from workers.pool import Pool

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,
    # Ray's own defaults: the settings of its Data part are made with Ray Train's, under deprecated names.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]

LONG = replace(CONFIG, steps=4000, save_every=10, validate_every=100_000)


@pytest.fixture(scope="module", autouse=True)
def cluster(ray_pool: Pool) -> None:
    """Every test here runs on the cluster that the driver is connected to."""


def test_two_workers_take_the_steps_of_one_with_the_doubled_batch(tmp_path: Path) -> None:
    """Float32 sums in another order: a gradient differs by some 2^-22 of its largest part.

    AdamW divides by the gradient's own size, so a weight moves by at most about the same share of the learning rate,
    and 12 steps of 0.02 keep the loss, whose slope is of order 1, within 12 * 0.02 * 1e-4 with a wide margin for
    gradients that nearly cancel.
    """
    one = run(tmp_path / "one", PlainTask(), CONFIG, CPU)
    told: list[dict[str, float]] = []
    ticks: list[tuple[int, int]] = []
    two = run_on_workers(
        tmp_path / "two",
        PlainTask,
        CONFIG,
        workers=2,
        tick=lambda done, total, unit="", /: ticks.append((done, total)),
        measured=lambda scalars: told.append(dict(scalars)),
    )
    assert (two.step, two.stopped) == (12, False)
    ours, theirs = rows(tmp_path / "two"), rows(tmp_path / "one")
    assert [sorted(row) for row in ours] == [sorted(row) for row in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine | {"seconds": 0} == pytest.approx(other | {"seconds": 0}, abs=2.4e-5)
    for name, value in one.net.state_dict().items():
        torch.testing.assert_close(two.net.state_dict()[name], value, rtol=0, atol=12 * 0.02 * 1e-4)
    assert ticks[-1] == (12, 12)
    assert len(told) == 3
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [
        "events",
        "metrics.jsonl",
        "pictures",
        "state",
    ]


def test_a_stopped_run_saves_and_goes_on_as_one_process(tmp_path: Path) -> None:
    asked: list[float] = []

    def cancel(done: int, total: int, unit: str = "", /) -> None:
        if done >= 20:
            asked.append(time.monotonic())
            raise Cancelled

    make = partial(PlainTask, LONG, seconds=0.002)
    with pytest.raises(Cancelled):
        run_on_workers(tmp_path, make, LONG, workers=2, tick=cancel)
    assert time.monotonic() - asked[0] < 60
    step = int(sorted((tmp_path / "state").glob("step-*"))[-1].name[5:])
    assert 20 <= step < 4000
    shorter = replace(LONG, steps=step + 5)
    assert run(tmp_path, PlainTask(shorter), shorter, CPU, resume=True).step == step + 5
    with pytest.raises(PathRefused):
        run_on_workers(tmp_path, make, LONG, workers=2)


def test_a_killed_worker_ends_the_run_and_it_goes_on(tmp_path: Path) -> None:
    make = partial(PlainTask, LONG, seconds=0.002)

    def kill(done: int, total: int, unit: str = "", /) -> None:
        for process in psutil.Process().children(recursive=True):
            if done >= 20 and "RayTrainWorker" in " ".join(process.cmdline()):
                process.send_signal(signal.SIGKILL)
                return

    with pytest.raises(WorkerLost, match=r"worker [01] died .*--resume"):
        run_on_workers(tmp_path, make, LONG, workers=2, tick=kill)
    config = replace(LONG, steps=int(sorted((tmp_path / "state").glob("step-*"))[-1].name[5:]) + 10)
    assert run_on_workers(tmp_path, partial(PlainTask, config), config, workers=2, resume=True).step == config.steps


def test_a_typed_error_of_a_worker_arrives_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match=r"loss of step 7 is not finite: total nan, square nan, size "):
        run_on_workers(tmp_path, partial(ToyTask, bad_step=7), CONFIG, workers=2)


def test_workers_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="the cluster has 2 CPUs for 4 workers"):
        run_on_workers(tmp_path, ToyTask, CONFIG, workers=4)
    with pytest.raises(ConfigInvalid, match="at least 2"):
        run_on_workers(tmp_path, ToyTask, CONFIG, workers=1)
    odd = replace(CONFIG, batch=5)
    with pytest.raises(ConfigInvalid, match=r"train\.batch 5 has no 2 equal parts"):
        run_on_workers(tmp_path, partial(ToyTask, odd), odd, workers=2)
