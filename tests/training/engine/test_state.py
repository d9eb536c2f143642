"""States are complete or not there, the newest one counts, and what does not fit is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from full_disk import full_disk
from toy_regression import CONFIG, CPU, ToyTask

from recon.errors import ArtifactInvalid, DiskFull, PathRefused
from training.engine.loop import run
from training.engine.schedule import adamw
from training.engine.state import claim, drop_damaged, load_state, save_state
from training.engine.task import Group

IDENTITY = {"settings": {"batch": 4}, "data": "d"}


class Run:
    """A net with an average and an optimizer that has taken a step."""

    def __init__(self, width: int = 3, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.net, self.average = torch.nn.Linear(2, width), torch.nn.Linear(2, width)
        self.optimizer = adamw([Group(parameters=list(self.net.parameters()))], CONFIG)
        self.net(torch.ones(1, 2)).sum().backward()
        self.optimizer.step()

    @property
    def parts(self) -> tuple[torch.nn.Module, torch.nn.Module, torch.optim.Optimizer]:
        return self.net, self.average, self.optimizer


def test_the_newest_of_two_states_is_loaded(tmp_path: Path) -> None:
    runs = [Run(seed=seed) for seed in range(3)]
    for step, one in enumerate(runs):
        save_state(tmp_path, step, *one.parts, IDENTITY)
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["step-00000001", "step-00000002"]
    other = Run(seed=9)
    assert load_state(tmp_path, *other.parts, IDENTITY) == 2
    assert torch.equal(other.net.weight, runs[2].net.weight)
    assert torch.equal(other.average.weight, runs[2].average.weight)
    for mine, theirs in zip(other.optimizer.state.values(), runs[2].optimizer.state.values(), strict=True):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_no_state_is_step_0(tmp_path: Path) -> None:
    assert load_state(tmp_path, *Run().parts, IDENTITY) == 0


def test_what_a_killed_save_left_is_cleared(tmp_path: Path) -> None:
    save_state(tmp_path, 1, *Run().parts, IDENTITY)
    part = tmp_path / "state/.step-00000002.0badf00d.part"
    part.mkdir()
    (part / "net.safetensors").write_bytes(b"half")
    with pytest.raises(PathRefused, match="holds a training run"):
        claim(tmp_path, resume=False)
    claim(tmp_path, resume=True)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["step-00000001"]


@pytest.mark.parametrize("name", ["net.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"])
def test_a_damaged_state_is_named(tmp_path: Path, name: str) -> None:
    save_state(tmp_path, 1, *Run().parts, IDENTITY)
    path = tmp_path / "state/step-00000001" / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ArtifactInvalid, match="damaged") as caught:
        load_state(tmp_path, *Run().parts, IDENTITY)
    assert caught.value.where == str(path.parent)


@pytest.mark.parametrize("name", ["net.safetensors", "ema.safetensors", "optimizer.safetensors"])
def test_one_wrong_bit_is_noticed(tmp_path: Path, name: str) -> None:
    """Its header is whole, so that the number would be loaded: a wrong average would only show in the result."""
    save_state(tmp_path, 1, *Run().parts, IDENTITY)
    path = tmp_path / "state/step-00000001" / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactInvalid, match=f"damaged: {name} changed"):
        load_state(tmp_path, *Run().parts, IDENTITY)


def test_a_state_without_digests_is_read(tmp_path: Path) -> None:
    save_state(tmp_path, 1, *Run().parts, IDENTITY)
    path = tmp_path / "state/step-00000001/state.json"
    body = json.loads(path.read_text())
    del body["files"]
    path.write_text(json.dumps(body))
    assert load_state(tmp_path, *Run().parts, IDENTITY) == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"step": "x"}', '{"step": 1, "files": {"gone": ""}}'])
def test_a_state_json_of_another_form_is_named(tmp_path: Path, text: str) -> None:
    save_state(tmp_path, 1, *Run().parts, IDENTITY)
    (tmp_path / "state/step-00000001/state.json").write_text(text)
    with pytest.raises(ArtifactInvalid, match="damaged"):
        load_state(tmp_path, *Run().parts, IDENTITY)


def test_another_net_is_refused(tmp_path: Path) -> None:
    save_state(tmp_path, 1, *Run().parts, IDENTITY)
    with pytest.raises(ArtifactInvalid, match=r"(?s)another net: .*size mismatch.*another OUT"):
        load_state(tmp_path, *Run(width=4).parts, IDENTITY)


def test_moments_of_another_shape_are_refused(tmp_path: Path) -> None:
    one = Run()
    for entry in one.optimizer.state.values():
        entry["exp_avg"] = entry["exp_avg"][:1]
    save_state(tmp_path, 1, *one.parts, IDENTITY)
    with pytest.raises(ArtifactInvalid, match=r"another net: .*exp_avg has the shape"):
        load_state(tmp_path, *Run().parts, IDENTITY)


def test_settings_that_differ_are_named(tmp_path: Path) -> None:
    save_state(tmp_path, 1, *Run().parts, IDENTITY)
    with pytest.raises(ArtifactInvalid, match=r"other settings \(batch 4, now 2\) and data "):
        load_state(tmp_path, *Run().parts, {"settings": {"batch": 2}, "data": "e"})


def test_a_full_disk_is_named_and_leaves_the_state_before(tmp_path: Path) -> None:
    save_state(tmp_path, 1, *Run().parts, IDENTITY)
    with full_disk(), pytest.raises(DiskFull):
        save_state(tmp_path, 2, *Run().parts, IDENTITY)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["step-00000001"]


def test_a_damaged_newest_state_may_be_deleted(tmp_path: Path) -> None:
    run(tmp_path / "a", ToyTask(), CONFIG, CPU)
    newest = tmp_path / "a/state/step-00000012/net.safetensors"
    whole = newest.read_bytes()
    newest.write_bytes(whole[:-9])
    with pytest.raises(ArtifactInvalid, match="Delete this folder"):
        run(tmp_path / "a", ToyTask(), CONFIG, CPU, resume=True)
    for path in newest.parent.iterdir():
        path.unlink()
    newest.parent.rmdir()
    run(tmp_path / "a", ToyTask(), CONFIG, CPU, resume=True)
    assert newest.read_bytes() == whole


@pytest.mark.parametrize(("name", "data"), [("net.safetensors", b"cut"), ("state.json", b""), ("state.json", b"[]")])
def test_a_run_without_an_owner_drops_damaged_states(tmp_path: Path, name: str, data: bytes) -> None:
    for step in (1, 2):
        save_state(tmp_path, step, *Run().parts, IDENTITY)
    assert drop_damaged(tmp_path) == []
    (tmp_path / "state/step-00000002" / name).write_bytes(data)
    assert drop_damaged(tmp_path) == [tmp_path / "state/step-00000002"]
    assert load_state(tmp_path, *Run().parts, IDENTITY) == 1
    assert drop_damaged(tmp_path / "none") == []


def test_moments_lie_in_memory_as_their_weights(tmp_path: Path) -> None:
    """A fused AdamW reads weights and moments from end to end: in another order each weight gets another's moments."""

    def made() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        net = torch.nn.Conv2d(8, 8, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return net, adamw([Group(parameters=list(net.parameters()))], CONFIG)

    def step(net: torch.nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
        pixels = torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        net(pixels).square().mean().backward()
        optimizer.step()

    net, optimizer = made()
    step(net, optimizer, 1)
    save_state(tmp_path, 1, net, net, optimizer, IDENTITY)
    step(net, optimizer, 2)
    other, resumed = made()
    assert load_state(tmp_path, other, torch.nn.Conv2d(8, 8, 3), resumed, IDENTITY) == 1
    step(other, resumed, 2)
    for mine, theirs in zip(other.parameters(), net.parameters(), strict=True):
        assert torch.equal(mine, theirs)
