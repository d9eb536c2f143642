"""A second user of the loop: it learns, resumes to the byte however it ended, and never trains on nonsense."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from toy_regression import CONFIG, CPU, Pair, PlainTask, ToyTask

from recon.errors import ArtifactInvalid, Cancelled, ConfigInvalid, ModelInvalid, PathRefused
from recon.progress import Tick
from training.engine.best import load_best
from training.engine.log import rows
from training.engine.loop import run
from training.engine.process_group import ProcessGroup

ROOT = Path(__file__).parents[3]


def newest(out: Path) -> dict[str, bytes]:
    """Return every byte of the newest state."""
    return {path.name: path.read_bytes() for path in sorted((out / "state").glob("step-*"))[-1].iterdir()}


def scalars(out: Path) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows(out)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never disturbed."""
    out = tmp_path_factory.mktemp("whole")
    run(out, ToyTask(), CONFIG, CPU)
    return out


def test_a_run_writes_what_it_promises(whole: Path) -> None:
    assert [row["step"] for row in rows(whole)] == [6, 12, 12]
    assert {"loss/total", "loss/square", "loss/size", "norm", "rate", "step"} == set(scalars(whole)[1])
    assert sorted(path.name for path in (whole / "state").iterdir()) == ["step-00000010", "step-00000012"]
    picture = cv2.imread(str(whole / "pictures/step-00000006/error.png"))
    assert picture is not None
    assert picture.shape == (1, 21, 3)
    [events] = (whole / "events").iterdir()
    assert b"loss/square" in events.read_bytes()
    assert b"error/mean" in events.read_bytes()


def test_it_learns(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=250, batch=16, validate_every=25, save_every=250, learning_rate=0.1)
    outcome = run(tmp_path, ToyTask(config), config, CPU)
    assert outcome.step == 250
    assert not outcome.net.training
    errors = [row["error/mean"] for row in rows(tmp_path) if "error/mean" in row]
    assert errors[-1] < 0.125  # half of what the best constant leaves
    assert errors[-1] < errors[0]


@pytest.mark.parametrize("at", [1, 5, 7, 11])
def test_a_stopped_run_continues_to_the_same_bytes(whole: Path, tmp_path: Path, at: int) -> None:
    steps = iter(range(1, 100))
    first = run(tmp_path, ToyTask(), CONFIG, CPU, should_stop=lambda: next(steps) == at)
    assert (first.step, first.stopped) == (at, True)
    assert not run(tmp_path, ToyTask(), CONFIG, CPU, resume=True).stopped
    assert newest(tmp_path) == newest(whole)
    assert scalars(tmp_path) == scalars(whole)


def cancel_at(step: int) -> Tick:
    def cancel(done: int, total: int, unit: str = "", /) -> None:
        if done == step:
            raise Cancelled

    return cancel


def test_a_tick_that_cancels_leaves_a_run_that_goes_on(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        run(tmp_path, ToyTask(), CONFIG, CPU, tick=cancel_at(8))
    run(tmp_path, ToyTask(), CONFIG, CPU, resume=True)
    assert newest(tmp_path) == newest(whole)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_parts_give_the_step_of_the_whole_batch(tmp_path: Path, accumulate: int) -> None:
    whole = run(tmp_path / "whole", PlainTask(), CONFIG, CPU).net
    config = replace(CONFIG, accumulate=accumulate)
    parts = run(tmp_path / "parts", PlainTask(config), config, CPU).net
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], value, rtol=1e-4, atol=1e-6)
    losses = [[row["loss/square"] for row in rows(out) if "loss/square" in row] for out in tmp_path.iterdir()]
    assert losses[0] == pytest.approx(losses[1], abs=2e-6)


def test_a_batch_without_equal_parts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"train\.batch 4 has no 3 equal parts"):
        run(tmp_path, ToyTask(), replace(CONFIG, accumulate=3), CPU)


def test_the_best_net_is_kept_and_a_resumed_run_keeps_the_same(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=30, validate_every=3, best="-error/mean")
    once = run(tmp_path / "whole", ToyTask(config), config, CPU).net
    errors = {int(row["step"]): row["error/mean"] for row in rows(tmp_path / "whole") if "error/mean" in row}
    best = load_best(tmp_path / "whole", once)
    assert best is not None
    assert best.step == min(errors, key=lambda step: (errors[step], step))
    assert best.value == pytest.approx(errors[best.step], abs=1e-6)
    # Killed after the best validation and before the next state, so that those steps are taken again.
    with pytest.raises(Cancelled):
        run(tmp_path / "parts", ToyTask(config), config, CPU, tick=cancel_at(best.step))
    run(tmp_path / "parts", ToyTask(config), config, CPU, resume=True)
    kept = [sorted((tmp_path / name / "best").rglob("*.*")) for name in ("whole", "parts")]
    assert [[path.name for path in paths] for paths in kept] == [["best.json", "ema.safetensors"]] * 2
    assert [path.read_bytes() for path in kept[0]] == [path.read_bytes() for path in kept[1]]


def test_a_best_by_a_scalar_that_is_not_there_is_refused(tmp_path: Path) -> None:
    config = replace(CONFIG, best="map")
    with pytest.raises(ConfigInvalid, match=r"no validation measures map .*error/mean"):
        run(tmp_path, ToyTask(config), config, CPU)


def test_what_is_logged_is_told(tmp_path: Path) -> None:
    told: list[dict[str, float]] = []
    run(tmp_path, ToyTask(), CONFIG, CPU, measured=lambda scalars: told.append(dict(scalars)))
    assert [set(one) for one in told] == [{"error/mean"}, {"total", "square", "size"}, {"error/mean"}]


def begin(out: Path, steps: int, seconds: float, settings: str = "{}") -> subprocess.Popen[str]:
    program = ROOT / "tests/worlds/toy_regression.py"
    return subprocess.Popen(
        [sys.executable, str(program), str(out), str(steps), str(seconds), settings],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for_state(out: Path) -> None:
    for _ in range(600):
        if list((out / "state").glob("step-*")):
            return
        time.sleep(0.1)
    raise AssertionError("no state was written")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_a_signal_ends_continues_to_the_same_bytes(tmp_path: Path, number: signal.Signals) -> None:
    config = replace(CONFIG, steps=60)
    run(tmp_path / "whole", ToyTask(config), config, CPU)
    process = begin(tmp_path / "parts", 60, 0.02)
    wait_for_state(tmp_path / "parts")
    time.sleep(0.3)
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    if number == signal.SIGTERM:
        word, step = said.split()
        assert word == "stopped"
        assert json.loads(newest(tmp_path / "parts")["state.json"])["step"] == int(step) < 60
    else:
        assert process.returncode == -signal.SIGKILL
    outcome = run(tmp_path / "parts", ToyTask(config), config, CPU, resume=True)
    assert outcome.step == 60
    assert newest(tmp_path / "parts") == newest(tmp_path / "whole")
    assert scalars(tmp_path / "parts") == scalars(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_that_is_killed_at_random_steps_ends_with_the_same_bytes(tmp_path: Path, seed: int) -> None:
    settings: dict[str, Any] = {"accumulate": 2, "best": "-error/mean", "validate_every": 7, "save_every": 4}
    config = replace(CONFIG, steps=120, **settings)
    run(tmp_path / "whole", ToyTask(config), config, CPU)
    draw, out = random.Random(seed), tmp_path / "parts"
    killed = set()
    for _ in range(4):
        process = begin(out, 120, 0.02, json.dumps(settings))
        before = len(rows(out))
        while process.poll() is None and len(rows(out)) <= before:  # it must get on at least a little
            time.sleep(0.02)
        time.sleep(draw.uniform(0.0, 0.5))
        process.kill()
        process.communicate(timeout=60)
        killed.add(int(rows(out)[-1]["step"]))
    assert len(killed) > 1
    assert run(out, ToyTask(config), config, CPU, resume=True).step == 120
    assert newest(out) == newest(tmp_path / "whole")
    assert scalars(out) == scalars(tmp_path / "whole")
    kept = [{p.name: p.read_bytes() for p in sorted((one / "best").rglob("*.*"))} for one in (tmp_path / "whole", out)]
    assert kept[0] == kept[1]


def test_a_loss_that_is_not_finite_names_every_term(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match=r"loss of step 7 is not finite: total nan, square nan, size ") as caught:
        run(tmp_path, ToyTask(bad_step=7), CONFIG, CPU)
    assert caught.value.where == str(tmp_path)
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["step-00000005"]


class Steep(ToyTask):
    """Adds a term that is finite and whose gradient is not."""

    def terms(self, output: torch.Tensor, batch: Pair, group: ProcessGroup) -> Mapping[str, torch.Tensor]:
        return {**super().terms(output, batch, group), "root": (output - output.detach()).abs().sqrt().sum()}


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(tmp_path: Path) -> None:
    named = r"gradient of step 0 is not finite: total .*root 0, gradient norm nan"
    with pytest.raises(ModelInvalid, match=named):
        run(tmp_path, Steep(), CONFIG, CPU)


def test_another_run_in_the_same_folder_is_refused(whole: Path) -> None:
    with pytest.raises(PathRefused, match="holds a training run"):
        run(whole, ToyTask(), CONFIG, CPU)
    with pytest.raises(ArtifactInvalid, match=r"other settings \(batch 4, now 5\) \["):
        run(whole, ToyTask(), replace(CONFIG, batch=5), CPU, resume=True)
    with pytest.raises(ArtifactInvalid, match=r"other settings \(ema .*, now 0.5\) and data"):
        run(whole, ToyTask(data="line"), replace(CONFIG, ema=0.5), CPU, resume=True)


def test_a_run_that_blew_up_goes_on_with_a_lower_rate_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match="step 7") as caught:
        run(tmp_path, ToyTask(bad_step=7), CONFIG, CPU)
    assert "--resume" in caught.value.hint
    lower = replace(CONFIG, learning_rate=0.002)
    for _ in range(2):  # the second finds a state of the lower rate: nothing changes any more
        assert run(tmp_path, ToyTask(lower), lower, CPU, resume=True).step == 12
    changes = [row for row in rows(tmp_path) if "changed/learning_rate" in row]
    assert [(row["step"], row["changed/learning_rate"]) for row in changes] == [(5, 0.002)]
    with pytest.raises(ArtifactInvalid, match=r"other settings \(batch 4, now 5\) \["):
        run(tmp_path, ToyTask(), replace(CONFIG, batch=5), CPU, resume=True)


def test_a_run_may_be_made_longer(tmp_path: Path) -> None:
    run(tmp_path, ToyTask(), CONFIG, CPU)
    longer = replace(CONFIG, steps=14, save_every=1)
    assert run(tmp_path, ToyTask(longer), longer, CPU, resume=True).step == 14


class Watching(ToyTask):
    """Notes in which type the forward pass computed."""

    def terms(self, output: torch.Tensor, batch: Pair, group: ProcessGroup) -> Mapping[str, torch.Tensor]:
        self.data = str(output.dtype)
        terms = super().terms(output, batch, group)
        assert all(term.dtype == torch.float32 for term in terms.values())
        return terms


@pytest.mark.parametrize(("precision", "dtype"), [("auto", "float32"), ("bfloat16", "bfloat16")])
def test_the_precision_is_that_of_the_forward_pass(tmp_path: Path, precision: str, dtype: str) -> None:
    task = Watching(replace(CONFIG, steps=2, precision=precision))  # type: ignore[arg-type]
    run(tmp_path, task, task.config, CPU)
    assert task.data == f"torch.{dtype}"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_and_resumes_too(tmp_path: Path) -> None:
    steps, cuda = iter(range(1, 100)), torch.device("cuda")
    assert run(tmp_path, ToyTask(), CONFIG, cuda, should_stop=lambda: next(steps) == 3).step == 3
    outcome = run(tmp_path, ToyTask(), CONFIG, cuda, resume=True)
    assert outcome.step == 12
    assert next(outcome.net.parameters()).is_cuda
