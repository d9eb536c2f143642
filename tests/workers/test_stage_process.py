"""What a stage leaves behind when it fails, and what its user is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from recon.errors import ArtifactInvalid, InputLost, ModelInvalid, OutOfMemory, RoadscribeError
from workers.jobs.probe import PLAN, ProbeJob
from workers.jobs.train import TrainJob
from workers.pool import StageTask
from workers.stage import StageInput
from workers.stage_process import execute
from workers.store import Store


def task(store: Store, **changes: Any) -> StageTask:
    return StageTask(
        store=store,
        stage=replace(PLAN[0], **changes),
        key="k",
        job="workers.jobs.probe:ProbeJob",
        spec=ProbeJob().model_dump_json(),
        parents={},
        parent_digests={},
        config_digest="",
    )


@pytest.mark.parametrize("error", [ModelInvalid("the loss is not finite"), ArtifactInvalid(), InputLost()])
@pytest.mark.parametrize("resumes", [True, False])
def test_a_stage_that_resumes_keeps_its_work_when_the_input_is_wrong(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: RoadscribeError, resumes: bool
) -> None:
    def fail(given: StageInput) -> None:
        (given.folder.parent / "state").write_text("days of work")
        raise error

    monkeypatch.setattr("workers.jobs.probe.first", fail)
    assert execute(task(store, resumes=resumes), lambda *_: None).error is error
    assert len(list(store.work_path("first", "k").glob("*/state"))) == resumes


@pytest.mark.parametrize("where", ["host", "gpu"])
def test_a_training_that_is_too_large_is_told_what_makes_it_smaller(
    store: Store, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def fail(given: StageInput) -> None:
        raise MemoryError if where == "host" else type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory")

    monkeypatch.setattr("workers.jobs.probe.first", fail)
    [stage] = TrainJob(data=("/shards",)).plan()
    error = execute(task(store, slimming=stage.slimming), lambda *_: None).error
    assert isinstance(error, OutOfMemory)
    assert "train.batch" in error.hint
    assert "train.accumulate" in error.hint
    assert "fit." not in error.hint
