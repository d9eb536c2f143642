"""A mapper trains, stops, goes on to the same bytes, is exported, fine-tuned and used; what does not fit is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import small_mapper
import small_shards
import torch
from safetensors.torch import load_file, save_file

from recon.errors import ArtifactInvalid, ConfigInvalid, ModelInvalid, PathRefused
from training.data.config import AugmentConfig, DataConfig
from training.mapper.checkpoint_folder import export, load_model
from training.mapper.config import MapperConfig
from training.mapper.mapper_task import MapperTask
from training.mapper.train import train

pytestmark = pytest.mark.slow

CONFIG = MapperConfig(
    model=small_mapper.MODEL,
    steps=4,
    batch=2,
    warmup_steps=1,
    validate_every=4,
    save_every=2,
    threads=1,
    loader_threads=1,
    device="cpu",
    data=DataConfig(augment=AugmentConfig()),
)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_shards.write(tmp_path_factory.mktemp("near"))


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_shards.write(tmp_path_factory.mktemp("far"), name="b")


@pytest.fixture(scope="module")
def model(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("run") / "out", CONFIG, [shards])


def test_a_run_writes_what_it_promises(shards: Path, tmp_path: Path, far: Path) -> None:
    seen: list[dict[str, object]] = []
    model = train(tmp_path / "out", CONFIG, [shards], [far], show=seen.append)
    assert sorted(path.name for path in model.iterdir()) == ["MODEL_CARD.md", "model.json", "model.safetensors"]
    body = json.loads((model / "model.json").read_text())
    assert tuple(body["model"]["classes"]) == small_mapper.MODEL.classes
    assert body["provenance"]["training"][0]["samples"] > 0
    assert body["provenance"]["steps"] == 4
    rows = [json.loads(line) for line in (tmp_path / "out/metrics.jsonl").read_text().splitlines()]
    assert {"loss/class", "loss/points", "loss/many_class", "loss/bev"} <= rows[0].keys()
    assert "map/observed" in rows[-1]
    drawn = sorted((tmp_path / "out/pictures/step-00000004").iterdir())
    assert drawn
    assert cv2.imread(str(drawn[0])).std() > 1
    assert list((tmp_path / "out/events").glob("events.out.tfevents.*"))
    assert [row["step"] for row in seen] == [4]
    assert "samples of" in (model / "MODEL_CARD.md").read_text()


def test_the_net_of_the_best_validation_is_exported(shards: Path, far: Path, tmp_path: Path) -> None:
    # So short a run finds nothing: both validations are equal, and the earlier net is kept.
    config = replace(CONFIG, validate_every=2, best="-map/full")
    model = train(tmp_path / "out", config, [shards], [far])
    best = json.loads(next((tmp_path / "out/best").rglob("best.json")).read_text())
    kept = load_file(next((tmp_path / "out/best").rglob("ema.safetensors")))
    exported = load_file(model / "model.safetensors")
    assert all(torch.equal(exported[name], tensor) for name, tensor in kept.items())
    facts = json.loads((model / "model.json").read_text())["provenance"]
    assert facts["best"]["step"] == best["step"]
    assert facts["scores"]["map/full"] == pytest.approx(best["value"], abs=1e-6)
    assert f"step {best['step']}" in (model / "MODEL_CARD.md").read_text()


def test_a_best_that_nothing_measures_is_refused_at_the_start(shards: Path, far: Path, tmp_path: Path) -> None:
    for best, held, said in (("map/ful", [far], "map/full"), ("map/full", [], "nothing, for want of held-out data")):
        with pytest.raises(ConfigInvalid, match="no validation measures map/ful") as caught:
            train(tmp_path / "out", replace(CONFIG, best=best), [shards], held)
        assert said in caught.value.hint
    assert not (tmp_path / "out").exists()
    task = MapperTask(CONFIG, [shards], [far])
    measured = task.evaluate(task.net(torch.device("cpu")).eval(), 0).scalars
    # Centre lines are in the labels, and are none of the model's classes.
    assert set(task.scalar_names()) == {name for name in measured if "centerline" not in name}


def test_only_tables_and_vectors_do_not_decay(shards: Path) -> None:
    task = MapperTask(CONFIG, [shards])
    net = task.net(torch.device("cpu"))
    names = {parameter: name for name, parameter in net.named_parameters()}
    kept = {names[p] for group in task.groups(net) if not group.decays for p in group.parameters if p.ndim >= 2}
    queries = {f"decoder.queries.{table}" for table in ("instance.weight", "point.weight", "first")}
    assert kept == {"bev_encoder.place", *queries}


def test_a_stopped_run_goes_on_to_the_same_bytes(shards: Path, model: Path, tmp_path: Path) -> None:
    calls = []

    def stop() -> bool:
        calls.append(1)
        return len(calls) == 3

    train(tmp_path / "out", CONFIG, [shards], should_stop=stop)
    again = train(tmp_path / "out", CONFIG, [shards], resume=True)
    assert (again / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()


def test_a_model_is_fine_tuned_from_another(shards: Path, model: Path, tmp_path: Path) -> None:
    tuned = train(tmp_path / "out", replace(CONFIG, steps=1, learning_rate=1e-9, ema=0.0), [shards], init=model)
    one, other = load_file(model / "model.safetensors"), load_file(tuned / "model.safetensors")
    parameters = [name for name in one if "running" not in name and "num_batches" not in name]
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in parameters)
    assert json.loads((tuned / "model.json").read_text())["provenance"]["init"]


def test_a_backbone_of_rate_0_stays_as_it_is(shards: Path, model: Path, tmp_path: Path) -> None:
    tuned = train(tmp_path / "out", replace(CONFIG, steps=2, backbone_rate=0.0, ema=0.0), [shards], init=model)
    one, other = load_file(model / "model.safetensors"), load_file(tuned / "model.safetensors")
    same = {name for name in one if torch.equal(one[name], other[name])}
    parameters = {name for name in one if "running" not in name and "num_batches" not in name}
    assert {name for name in parameters if name.startswith("backbone.")} <= same
    assert any(name.startswith("decoder.") for name in one.keys() - same)


def test_a_model_of_another_shape_is_refused(shards: Path, model: Path, tmp_path: Path) -> None:
    other = replace(small_mapper.MODEL, layers=3, classes=("divider", "boundary"))
    with pytest.raises(ModelInvalid, match=r"classes .*layers 2, now 3") as caught:
        train(tmp_path / "out", replace(CONFIG, model=other), [shards], init=model)
    assert "shape of the checkpoint" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_damaged_model_is_refused(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    weights = load_file(copy / "model.safetensors")
    save_file({name: tensor + 0 for name, tensor in list(weights.items())[1:]}, copy / "model.safetensors")
    with pytest.raises(ModelInvalid, match="sha256"):
        load_model(copy, torch.device("cpu"))
    body = json.loads((copy / "model.json").read_text())
    for change, said in (({"kind": "net"}, "no mapping model"), ({"schema": 9}, "schema 9"), ({"model": {}}, "ok")):
        (copy / "model.json").write_text(json.dumps(body | change))
        with pytest.raises(ModelInvalid, match=said if said != "ok" else "sha256"):
            load_model(copy, torch.device("cpu"))
    (copy / "model.json").write_text(json.dumps(body | {"schema": 1}))
    with pytest.raises(ModelInvalid, match="schema 1") as caught:
        load_model(copy, torch.device("cpu"))
    assert "Train it again" in caught.value.hint
    body["model"]["layers"] = "three"
    (copy / "model.json").write_text(json.dumps(body))
    with pytest.raises(ModelInvalid, match="faulty"):
        load_model(copy, torch.device("cpu"))


def test_weights_that_are_not_finite_name_every_term(shards: Path, model: Path, tmp_path: Path) -> None:
    net, config, _ = load_model(model, torch.device("cpu"))
    with torch.no_grad():
        next(p for name, p in net.named_parameters() if name.startswith("neck.")).fill_(torch.nan)
    export(tmp_path / "nan", net, config, {}, "")
    with pytest.raises(ModelInvalid, match=r"not finite: .*class .*points "):
        train(tmp_path / "out", CONFIG, [shards], init=tmp_path / "nan")


def test_another_run_and_other_data_are_refused(shards: Path, far: Path, tmp_path: Path) -> None:
    train(tmp_path / "out", replace(CONFIG, steps=1), [shards])
    with pytest.raises(PathRefused):
        train(tmp_path / "out", CONFIG, [shards])
    with pytest.raises(ArtifactInvalid, match="other data"):
        train(tmp_path / "out", CONFIG, [shards, far], resume=True)
    with pytest.raises(ConfigInvalid, match="nothing to learn from"):
        train(tmp_path / "none", CONFIG, [])
    with pytest.raises(ConfigInvalid, match="same place"):
        train(tmp_path / "leak", CONFIG, [shards], [shards])
