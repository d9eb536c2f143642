"""The job train: its files are named, its key is their content, and a cancelled one goes on from what it saved."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import small_mapper
import small_shards
from pydantic import ValidationError

from recon.errors import Cancelled, ConfigInvalid, ModelInvalid, StorageError
from training.data.config import DataConfig, SourceConfig
from training.mapper.config import MapperConfig
from workers.jobs.train import TrainJob
from workers.local_pool import LocalPool
from workers.run import RunEvent, run
from workers.spec import faults_of, parse_spec, spec_record
from workers.store import Store

CONFIG = MapperConfig(
    model=small_mapper.MODEL,
    steps=6,
    batch=2,
    validate_every=6,
    save_every=100,
    threads=1,
    loader_threads=1,
    device="cpu",
)


def full_job() -> TrainJob:
    source = SourceConfig(folders=("/s/1", "/s/2"), pictures=("/s/3",))
    held = SourceConfig(folders=("/s/4",))
    data, model = DataConfig(sources=(source,)), replace(small_mapper.MODEL, weights="/w")
    config = replace(CONFIG, data=data, model=model, validation=(held,))
    return TrainJob(data=("/a", "/b"), validation=("/c",), init="/m", config=config)


def test_every_path_is_named_and_can_be_moved() -> None:
    job = full_job()
    assert job.input_paths() == {
        "/data/0": "/a",
        "/data/1": "/b",
        "/validation/0": "/c",
        "/init": "/m",
        "/config/data/sources/0/folders/0": "/s/1",
        "/config/data/sources/0/folders/1": "/s/2",
        "/config/data/sources/0/pictures/0": "/s/3",
        "/config/validation/0/folders/0": "/s/4",
        "/config/model/weights": "/w",
    }
    # No path is left that the roots were not asked about.
    paths = {place: f"moved{place}" for place in job.input_paths()}
    moved = job.with_paths(paths)
    assert moved.input_paths() == paths
    text = json.dumps(spec_record(moved))
    assert not [path for path in job.input_paths().values() if f'"{path}"' in text]
    back = moved.with_paths(job.input_paths())
    assert back == job


def test_a_spec_is_read_strictly_and_needs_shards() -> None:
    job = full_job()
    assert parse_spec(json.dumps(spec_record(job))) == job
    with pytest.raises(ValidationError, match="give folders of shards as data"):
        parse_spec('{"kind": "train"}')
    with pytest.raises(ValidationError) as caught:
        parse_spec('{"kind": "train", "data": ["/a"], "config": {"steps": "9", "model": {"no": 1}}}')
    assert "/config/steps: " in faults_of(caught.value)
    assert "/config/model/no: " in faults_of(caught.value)
    with pytest.raises(ConfigInvalid, match=r"train\.steps"):
        parse_spec('{"kind": "train", "data": ["/a"], "config": {"steps": 0}}')


def identity(**fields: Any) -> Any:
    job = TrainJob(**{"config": CONFIG, **fields})
    return job.config_identity(job.plan()[0])


def test_the_key_holds_shards_by_content(tmp_path: Path) -> None:
    shards = small_shards.write(tmp_path / "here")
    copy, other = shutil.copytree(shards, tmp_path / "there"), small_shards.write(tmp_path / "other", name="b")
    first = identity(data=(str(shards),))
    assert first == identity(data=(str(copy),))
    assert first != identity(data=(str(other),))
    assert first != identity(data=(str(shards),), validation=(str(other),))
    assert str(tmp_path) not in json.dumps(first)
    model = tmp_path / "model"
    model.mkdir()
    with pytest.raises(ModelInvalid, match="no model"):
        identity(data=(str(shards),), init=str(model))
    (model / "model.json").write_text("1")
    one = identity(data=(str(shards),), init=str(model))
    (model / "model.json").write_text("2")
    assert one != identity(data=(str(shards),), init=str(model))
    # Weights of an EfficientNet are a file, whose name says nothing.
    named = []
    for name, data in (("a.pth", b"1"), ("b.pth", b"1"), ("c.pth", b"2")):
        (tmp_path / name).write_bytes(data)
        config = replace(CONFIG, model=replace(small_mapper.MODEL, weights=str(tmp_path / name)))
        named.append(identity(data=(str(shards),), config=config))
    assert named[0] == named[1] != named[2]
    with pytest.raises(ConfigInvalid, match="no shards"):
        identity(data=(str(model),))


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = small_shards.write(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("1")

    def refused(path: Path) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("workers.jobs.train.digest_file", refused)  # the mode of a file stops no root
    with pytest.raises(StorageError, match="Permission denied") as caught:
        identity(data=(str(shards),), init=str(tmp_path / "model"))
    assert caught.value.where == str(tmp_path / "model")


@pytest.mark.slow
def test_a_cancelled_job_saves_and_the_next_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Workers share two threads of the machine with the test.
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    shards, far = small_shards.write(tmp_path / "a"), small_shards.write(tmp_path / "b", name="b")
    config = replace(CONFIG, steps=40)
    job = TrainJob(data=(str(shards),), validation=(str(far),), config=config)
    store, pool = Store(tmp_path / "store", 0), LocalPool()
    events: list[RunEvent] = []

    def begun() -> bool:
        return any(event.kind == "stage.progress" for event in events)

    try:
        with pytest.raises(Cancelled):
            run(job, store, pool, events=events.append, should_stop=begun)
        [state] = (store.home / "work").glob("train-*/*/run/state/step-*")
        saved = int(state.name[5:])
        assert 1 <= saved < 40  # long before save_every
        later: list[RunEvent] = []
        report = run(job, store, pool, events=later.append)
    finally:
        pool.close()
    progress = [event for event in later if event.kind == "stage.progress"]
    assert progress[0].done > saved
    assert (progress[-1].done, progress[-1].total, progress[-1].unit) == (40, 40, "steps")
    assert progress[-1].values["loss"] > 0
    paths = [file.path for file in report.files()]
    assert {"metrics.jsonl", "model/MODEL_CARD.md", "model/model.json", "model/model.safetensors"} <= set(paths)
    assert report.record()["train"]["steps"] == 40
    steps = [json.loads(line)["step"] for line in (report.stages[0].folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert not list((store.home / "work").glob("train-*/*"))
    assert [event.kind for event in _events_of(job, store)] == ["stage.skipped"]


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("name", ["local", "ray"])
def test_several_workers_train_and_stop_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, name: str
) -> None:
    """On processes they get a Ray cluster of their own; on Ray they take the CPUs that the stage leaves free."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shards = small_shards.write(tmp_path / "a")
    job = TrainJob(data=(str(shards),), config=replace(CONFIG, steps=12), workers=2)
    store = Store(tmp_path / "store", 0)
    pool = LocalPool() if name == "local" else request.getfixturevalue("ray_pool")
    events: list[RunEvent] = []
    try:
        with pytest.raises(Cancelled):
            run(job, store, pool, events=events.append, should_stop=lambda: events[-1].kind == "stage.progress")
        assert list((store.home / "work").glob("train-*/*/run/state/step-*"))
        report = run(job, store, pool, events=events.append)
    finally:
        if name == "local":
            pool.close()
    assert report.record()["train"]["steps"] == 12
    assert (events[-2].kind, events[-2].done) == ("stage.progress", 12)


def _events_of(job: TrainJob, store: Store) -> list[RunEvent]:
    events: list[RunEvent] = []
    run(job, store, LocalPool(), events=events.append)
    return events
