"""A label job on a real, small drive: what is skipped, what continues, what is refused."""

import shutil
import signal
import threading
import time
from dataclasses import replace

import pytest
import straight_road

from recon.config import FitConfig
from recon.errors import Cancelled, DriveEmpty, ImageInvalid, ModelInvalid, WorkerLost
from vectorize.config import PackConfig
from vectorize.labels.shard import read_shard
from vectorize.trace_config import TraceConfig
from workers.jobs.aggregate import AggregateJob
from workers.jobs.label import LabelJob
from workers.local_pool import LocalPool
from workers.run import run
from workers.store import Store

FIT = FitConfig(corridor_m=6.0, cell_m=0.2, epochs=1)
PLAN = LabelJob(drive="any").plan()


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return straight_road.write(tmp_path_factory.mktemp("drive") / "straight")


@pytest.fixture(scope="module")
def spec(drive):
    return LabelJob(drive=str(drive), fit=FIT)


@pytest.fixture(scope="module")
def finished(spec, tmp_path_factory):
    """Return the store and the report of a job that has run once."""
    store = Store(tmp_path_factory.mktemp("store"), min_free_bytes=0)
    return store, run(spec, store, LocalPool())


def ran(report):
    return [stage.name for stage in report.stages if not stage.skipped]


def digests(report):
    return {stage.name: stage.digest for stage in report.stages}


@pytest.mark.slow
def test_a_drive_becomes_labels_and_figures(finished):
    _, report = finished
    assert ran(report) == [stage.name for stage in PLAN]
    body = report.record()
    assert body["classes"]["divider"]["elements"] >= 3
    assert 0.0 < body["coverage"] <= 1.0
    names = [file.path for file in report.files()]
    assert {"map.geojson", "pictures/bev_color.png", "shards/index.parquet", "shards/manifest.json"} <= set(names)
    assert any(name.endswith(".tar") for name in names)


def test_the_second_run_only_looks_at_the_drive(spec, finished):
    store, first = finished
    second = run(spec, store, LocalPool())
    assert ran(second) == ["ingest"]
    assert digests(second) == digests(first)


@pytest.mark.slow
def test_a_change_starts_at_the_first_stage_it_touches(spec, finished):
    store, _ = finished
    changed = spec.model_copy(update={"trace": TraceConfig(min_divider_m=1000.0)})
    assert ran(run(changed, store, LocalPool())) == ["ingest", "trace", "crop", "pack", "draw"]
    same_map = spec.model_copy(update={"trace": TraceConfig(min_crossing_m2=3.0)})
    assert ran(run(same_map, store, LocalPool())) == ["ingest", "trace"]  # an equal result ends the change
    repacked = spec.model_copy(update={"pack": PackConfig(samples_per_shard=3)})
    assert ran(run(repacked, store, LocalPool())) == ["ingest", "pack"]
    with_ids = spec.model_copy(update={"pack": PackConfig(with_ids=True, image_px=(120, 60))})
    report = run(with_ids, store, LocalPool())
    assert ran(report) == ["ingest", "pack"]
    (folder,) = (stage.folder for stage in report.stages if stage.name == "pack")
    assert all(list(sample.ids) == ["front"] for sample in read_shard(folder))


def test_only_shards_with_ids_depend_on_the_labelled_images():
    plans = [
        LabelJob(drive="any", pack=pack).plan()
        + AggregateJob(drives=({"drive": "a"}, {"drive": "b"}), pack=pack).plan()
        for pack in (PackConfig(with_images=True, with_depth=True), PackConfig(with_ids=True))
    ]
    found = [[dict(stage.parents) for stage in plan if stage.role == "pack"] for plan in plans]
    assert [parents.get("segment") for parents in found[0]] == [None] * 3
    assert [parents.get("segment") for parents in found[1]] == ["segment", "segment 1", "segment 2"]


def test_the_same_drive_elsewhere_is_the_same_drive(spec, drive, finished, tmp_path):
    store, first = finished
    copy = shutil.copytree(drive, tmp_path / "straight")
    again = run(spec.model_copy(update={"drive": str(copy)}), store, LocalPool())
    assert ran(again) == ["ingest"]
    assert digests(again) == digests(first)


@pytest.mark.slow
def test_the_same_drive_gives_the_same_bytes(spec, drive, finished, tmp_path):
    _, first = finished
    copy = shutil.copytree(drive, tmp_path / "straight")
    again = run(spec.model_copy(update={"drive": str(copy)}), Store(tmp_path / "store", 0), LocalPool())
    assert {f.path: f.sha256 for f in again.files()} == {f.path: f.sha256 for f in first.files()}


@pytest.mark.slow
def test_other_images_are_another_drive(spec, drive, finished, tmp_path):
    store, _ = finished
    copy = shutil.copytree(drive, tmp_path / "straight")
    shutil.copyfile(copy / "ids" / "0.png", copy / "front" / "3.png")
    changed = run(spec.model_copy(update={"drive": str(copy)}), store, LocalPool())
    assert "fit" in ran(changed)


class KilledAt(LocalPool):
    """Kills its own worker, for real, when a stage reports its first progress."""

    def __init__(self, stage):
        super().__init__()
        self._stage = stage

    def run(self, task, report, should_stop):
        def tick(*progress):
            report(*progress)
            if task.stage.name == self._stage:
                self._process.send_signal(signal.SIGKILL)

        return super().run(task, tick, should_stop)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["segment", "fit"])
def test_a_killed_run_continues_to_the_same_bytes(spec, finished, tmp_path, stage):
    store = Store(tmp_path, 0)
    with pytest.raises(WorkerLost):
        run(spec, store, KilledAt(stage))
    again = run(spec, store, LocalPool())
    names = [s.name for s in PLAN]
    assert ran(again) == ["ingest", *names[names.index(stage) :]]
    assert digests(again) == digests(finished[1])
    assert not [path for path in (tmp_path / "work").iterdir() if path.is_dir()]


def test_cancel_leaves_finished_stages(spec, tmp_path):
    store, stop = Store(tmp_path, 0), threading.Event()

    def events(event):
        if event.stage == "segment" and event.kind == "stage.finished":
            stop.set()

    started = time.monotonic()
    with pytest.raises(Cancelled):
        run(spec, store, LocalPool(), events=events, should_stop=stop.is_set)
    assert time.monotonic() - started < 10
    assert [p.name for p in (store.home / "objects").iterdir() if p.name == "fit"] == []


def test_a_truncated_image_is_named(spec, drive, tmp_path):
    broken = shutil.copytree(drive, tmp_path / "straight")
    image = broken / "front" / "4.png"
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(ImageInvalid) as caught:
        run(spec.model_copy(update={"drive": str(broken)}), Store(tmp_path / "store", 0), LocalPool())
    assert "frame 4" in caught.value.where
    assert caught.value.hint


def test_missing_weights_and_an_empty_drive(spec, drive, tmp_path):
    store = Store(tmp_path / "store", 0)
    net = replace(spec.segment, backend="openvino", weights=str(tmp_path / "none.xml"))
    with pytest.raises(ModelInvalid, match=r"none\.xml"):
        run(spec.model_copy(update={"segment": net}), store, LocalPool())
    empty = shutil.copytree(drive, tmp_path / "straight")
    body = (empty / "drive.json").read_text()
    (empty / "drive.json").write_text(body[: body.index('"frames"')] + '"frames": []}')
    with pytest.raises(DriveEmpty):
        run(spec.model_copy(update={"drive": str(empty)}), store, LocalPool())
