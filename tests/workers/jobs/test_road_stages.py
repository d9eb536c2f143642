"""Which stages ask for a GPU, and that none waits for one that the cluster does not have."""

from __future__ import annotations

from dataclasses import replace

import psutil
import pytest

from recon.config import FitConfig, SegmentConfig
from recon.errors import OutOfMemory
from workers.jobs.aggregate import AggregateJob
from workers.jobs.drives import TripRef
from workers.jobs.label import LabelJob
from workers.jobs.probe import PLAN, ProbeConfig, ProbeJob
from workers.jobs.road_stages import GPU_SHARE, fit_stage
from workers.machine import Machine, this_machine
from workers.pool import StageTask
from workers.stage_process import execute

MASK2FORMER = SegmentConfig(backend="mask2former", weights="demo_city")


def asked(job):
    return {stage.name: stage.gpus for stage in job.plan() if stage.gpus}


def test_segment_and_fit_ask_for_a_share_unless_their_settings_keep_them_on_cpus():
    assert asked(LabelJob(drive="d", segment=MASK2FORMER)) == {"segment": GPU_SHARE, "fit": GPU_SHARE}
    assert asked(LabelJob(drive="d")) == {"fit": GPU_SHARE}  # id images need no net
    on_cpu = LabelJob(drive="d", segment=replace(MASK2FORMER, device="cpu"), fit=FitConfig(renderer="cpu"))
    assert asked(on_cpu) == {}


def test_every_trip_of_an_aggregate_job_asks():
    on_cpu = TripRef(drive="c", segment=SegmentConfig())  # id images
    job = AggregateJob(drives=(TripRef(drive="a"), TripRef(drive="b"), on_cpu), segment=MASK2FORMER)
    assert asked(job) == dict.fromkeys(("segment 1", "segment 2", "fit"), GPU_SHARE)


def task(store, gpus, *, seconds):
    stage = replace(PLAN[0], gpus=gpus)
    spec = ProbeJob(probe=ProbeConfig(seconds=seconds, salt=f"gpu {gpus}"))
    key = f"{int(gpus * 10):064x}"
    return StageTask(
        store=store,
        stage=stage,
        key=key,
        job="workers.jobs.probe:ProbeJob",
        spec=spec.model_dump_json(),
        parents={},
        parent_digests={},
        config_digest="",
        token=f"gpu-{gpus}",
    )


def test_a_full_gpu_is_named(store, monkeypatch):
    import torch

    def fill(given):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("workers.jobs.probe.first", fill)
    error = execute(task(store, 0.5, seconds=0.0), lambda *_: None).error
    assert isinstance(error, OutOfMemory)
    assert (error.message, error.where) == ("the GPU ran out of memory", "first")


@pytest.mark.ray
@pytest.mark.slow
def test_ray_is_asked_for_the_share_and_gets_it_back(ray_pool, store):
    import ray

    free = []
    outcome = ray_pool.run(
        task(store, 0.5, seconds=4.0), lambda *_: free.append(ray.available_resources().get("GPU", 0.0)), lambda: False
    )
    assert outcome.error is None
    assert min(free) == 0.5


@pytest.mark.ray
@pytest.mark.slow
def test_a_process_that_had_a_gpu_ends_with_its_stage(ray_pool, store):
    """Ray would keep it for the next stage, with all the memory that PyTorch holds on the GPU."""

    def busy():
        return {p for p in psutil.Process().children(recursive=True) if "ray::run_stage" in "".join(p.cmdline())}

    seen = set()
    outcome = ray_pool.run(task(store, 0.3, seconds=4.0), lambda *_: seen.update(busy()), lambda: False)
    assert outcome.error is None
    (worker,) = seen
    worker.wait(20.0)


@pytest.mark.ray
@pytest.mark.slow
def test_a_share_that_the_cluster_does_not_have_is_not_waited_for(ray_pool, store):
    outcome = ray_pool.run(task(store, 2.0, seconds=0.0), lambda *_: None, lambda: False)
    assert outcome.error is None


@pytest.mark.ray
@pytest.mark.slow
def test_a_cluster_that_exists_reports_what_its_workers_compute_with(ray_pool, monkeypatch):
    """They may run on machines with GPUs while the executor has none."""
    monkeypatch.setattr(ray_pool._cluster, "own", False)
    assert ray_pool.machine(fit_stage(FitConfig()), lambda: False) == this_machine()
    assert list(ray_pool._machines) == [GPU_SHARE]
    monkeypatch.setitem(ray_pool._machines, GPU_SHARE, Machine(cuda=True, gsplat=True))
    assert ray_pool.machine(fit_stage(FitConfig()), lambda: False).gsplat
    assert ray_pool.machine(PLAN[0], lambda: False) == this_machine()  # a stage that computes on CPUs needs no answer
