"""Bytes that change in the store: never published, never in the way of a later job."""

import random

import pytest

from recon.artifact import MANIFEST, atomic_folder, read_manifest, seal
from recon.errors import ArtifactDamaged, ArtifactInvalid, WorkerLost
from workers import run as run_module
from workers.jobs.probe import ProbeConfig, ProbeJob
from workers.local_pool import LocalPool
from workers.run import run


@pytest.fixture(scope="module")
def local_pool():
    pool = LocalPool()
    yield pool
    pool.close()


def flip(path, rng):
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def publish(store, pool, **fields):
    """Run a probe and return its report, its bytes by path, and its events of damage."""
    events = []
    report = run(ProbeJob(probe=ProbeConfig(size=2000, **fields)), store, pool, events=events.append)
    damaged = [event.record() for event in events if event.kind == "artifact.damaged"]
    return report, {file.path: file.source.read_bytes() for file in report.files()}, damaged


@pytest.mark.parametrize("name", ["result.txt", MANIFEST])
def test_a_damaged_result_that_would_be_skipped_is_made_again(store, local_pool, name):
    first, wanted, _ = publish(store, local_pool, salt=name)
    flip(first.stages[1].folder / name, random.Random(1))
    second, found, damaged = publish(store, local_pool, salt=name)
    assert found == wanted
    assert [record.skipped for record in second.stages] == [True, False]
    assert [(one["stage"], name in one["reason"]) for one in damaged] == [("second", True)]
    assert len(list((store.home / "damaged").iterdir())) == 1


@pytest.mark.parametrize("name", ["result.txt", MANIFEST])
def test_damage_that_a_stage_reads_is_made_again_before_it(store, local_pool, name):
    first, wanted, _ = publish(store, local_pool, salt=name)
    flip(first.stages[0].folder / name, random.Random(2))
    store.set_aside("second", first.stages[1].folder.name)
    second, found, damaged = publish(store, local_pool, salt=name)
    assert found == wanted
    assert not any(record.skipped for record in second.stages)
    assert [one["stage"] for one in damaged] == ["first"]


def test_a_stage_that_dies_of_damaged_input_gets_sound_input(store, local_pool):
    # A file that is cut off under a memory map kills its reader, which cannot say what is wrong.
    first, wanted, _ = publish(store, local_pool, script=("ok", "crash"))
    flip(first.stages[0].folder / "result.txt", random.Random(3))
    store.set_aside("second", first.stages[1].folder.name)
    _, found, damaged = publish(store, local_pool, script=("ok", "crash"))
    assert found == wanted
    assert [one["stage"] for one in damaged] == ["first"]


def test_a_stage_that_fails_by_itself_fails(store, local_pool):
    with pytest.raises(WorkerLost):
        publish(store, local_pool, script=("crash",))


def test_a_store_that_loses_every_result_fails_with_the_reason(store, local_pool, monkeypatch):
    monkeypatch.setattr(run_module, "_set_aside", lambda store, names, done: [("second", "it changed: result.txt")])
    with pytest.raises(ArtifactDamaged, match="damaged 4 times in one run: it changed"):
        publish(store, local_pool, salt="broken disk")


def test_a_damaged_result_gives_way_to_a_sound_equal_one(store, tmp_path):
    def leave():
        with atomic_folder(tmp_path / "w") as scratch:
            (scratch / "a.txt").write_text("x")
            seal(scratch, kind="Probe", schema=1, meta={})
        return tmp_path / "w"

    assert store.publish(leave(), "first", "k", "Probe") == ""
    (store.object_path("first", "k") / "a.txt").write_text("y")
    assert "changed" in store.publish(leave(), "first", "k", "Probe")
    assert store.damage("first", "k", "Probe") == ""


def caught(folder, rng, count):
    """Flip one bit `count` times and return how often the artifact was refused."""
    found = 0
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for _ in range(count):
        path = rng.choices(files, [path.stat().st_size for path in files])[0]
        sound = path.read_bytes()
        flip(path, rng)
        try:
            read_manifest(folder, kind="Shard", schema=99)
        except ArtifactInvalid:
            found += 1
        path.write_bytes(sound)
    return found


@pytest.fixture
def shard(tmp_path):
    """Files and a manifest as a shard has them, with provenance, text beyond ASCII and numbers."""
    with atomic_folder(tmp_path / "shard") as scratch:
        (scratch / "a.tar").write_bytes(random.Random(4).randbytes(20_000))
        meta = {"drive": "Straße", "coverage": 0.1, "samples": 12}
        seal(scratch, kind="Shard", schema=3, meta=meta, parents={"crop": "0" * 64}, config="1" * 64)
    return tmp_path / "shard"


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_single_bit_flips_are_caught(shard, count):
    assert caught(shard, random.Random(5), count) == count


@pytest.mark.parametrize("step", [41, pytest.param(1, marks=pytest.mark.slow)])
def test_every_bit_of_a_manifest_counts(shard, step):
    path = shard / MANIFEST
    sound = path.read_bytes()
    for bit in range(0, 8 * len(sound), step):
        data = bytearray(sound)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with pytest.raises(ArtifactInvalid):
            read_manifest(shard, kind="Shard", schema=99)
    path.write_bytes(sound)
    assert read_manifest(shard, kind="Shard", schema=99).meta["drive"] == "Straße"
