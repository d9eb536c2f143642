import ctypes
import os
import resource
import subprocess
import sys
from contextlib import contextmanager

import pytest

from recon.artifact import MANIFEST, atomic_folder, seal
from recon.errors import Cancelled, DiskFull
from workers.jobs.probe import ProbeConfig, ProbeJob
from workers.local_pool import LocalPool
from workers.run import run
from workers.store import Store


def leave(folder, text="x"):
    with atomic_folder(folder) as scratch:
        (scratch / "a.txt").write_text(text)
        seal(scratch, kind="Probe", schema=1, meta={})
    return folder


def test_a_result_is_there_completely_or_not_at_all(store, tmp_path):
    assert store.find("first", "k", "Probe") is None
    store.publish(leave(tmp_path / "w"), "first", "k", "Probe")
    assert store.find("first", "k", "Probe").files.keys() == {"a.txt"}
    store.publish(leave(tmp_path / "w"), "first", "k", "Probe")  # an equal one that came second
    assert not (tmp_path / "w").exists()


def test_a_damaged_result_is_set_aside(store, tmp_path):
    for damage in (lambda p: (p / "a.txt").unlink(), lambda p: (p / MANIFEST).write_text("{")):
        store.publish(leave(tmp_path / "w"), "first", "k", "Probe")
        damage(folder := store.object_path("first", "k"))
        assert store.find("first", "k", "Probe") is None
        assert not folder.exists()
    assert len(list((store.home / "damaged").iterdir())) == 2


def test_one_process_of_a_machine_makes_a_result_and_the_next_waits_until_told_to_stop(store):
    told = []
    with store.locked("first", "k", lambda: None, lambda: False):
        looks = iter([False] * 3 + [True])
        with pytest.raises(Cancelled), store.locked("first", "k", lambda: told.append(1), lambda: next(looks)):
            pass
        assert told == [1]
        with store.locked("first", "other", lambda: None, lambda: False):
            pass
    with store.locked("first", "k", lambda: None, lambda: False):
        pass


def test_a_finished_run_leaves_no_work_behind(store):
    run(ProbeJob(probe=ProbeConfig(salt="a")), store, LocalPool())
    assert not [path for path in (store.home / "work").iterdir() if path.is_dir()]


def test_an_attempt_goes_on_from_a_copy_of_the_last_one(store):
    old = store.begin_work("fit", "k", "one", resumes=True)
    (old / "state").write_text("10 steps")
    kept_open = (old / "log").open("a")
    (old / ".state.part").write_text("torn")
    new = store.begin_work("fit", "k", "two", resumes=True)
    assert {path.name for path in new.iterdir()} == {"state", "log"}
    # The old worker was only frozen: what it still writes reaches nobody.
    kept_open.write("of the past")
    kept_open.close()
    assert (new / "log").read_text() == ""
    leave(old / "artifact")
    store.publish(old / "artifact", "fit", "k", "Probe")
    store.end_work("fit", "k", "one")
    assert (new / "state").read_text() == "10 steps"
    assert store.begin_work("fit", "k", "two", resumes=True) == new
    assert (new / "state").exists()
    fresh = store.begin_work("fit", "k", "three", resumes=False)
    assert list(fresh.iterdir()) == []
    store.end_work("fit", "k", "three")
    assert not fresh.parent.exists()


def test_a_job_does_not_start_on_a_full_disk(store):
    with pytest.raises(DiskFull, match="are needed to start"):
        Store(store.home, min_free_bytes=1 << 60).check_free()


@contextmanager
def small_disk(folder, megabytes):
    """Mount a tmpfs, or skip: a disk that is really full is the only honest test."""
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={megabytes}m".encode()) != 0:
        pytest.skip(f"cannot mount a small disk: {os.strerror(ctypes.get_errno())}")
    try:
        yield folder
    finally:
        libc.umount(os.fsencode(folder))


def test_a_disk_that_fills_up_publishes_nothing_half_and_the_job_continues(tmp_path):
    pool = LocalPool()
    with small_disk(tmp_path / "disk", 4) as disk:
        store = Store(disk / "store", min_free_bytes=0)
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(1 << 20))
        job = ProbeJob(probe=ProbeConfig(size=1_800_000))
        with pytest.raises(DiskFull) as caught:
            run(job, store, pool)
        assert caught.value.hint
        assert [p.parent.name for p in (store.home / "objects").glob("*/*")] == ["first"]
        small = run(ProbeJob(probe=ProbeConfig(size=10)), store, pool)
        assert len(small.files()) == 1
        ballast.unlink()
        again = run(job, store, pool)
        assert [s.skipped for s in again.stages] == [True, False]


def test_a_file_size_limit_counts_as_a_full_disk(tmp_path):
    code = (
        "from pathlib import Path; from recon.artifact import write_atomic; from recon.errors import DiskFull\n"
        f"try: write_atomic(Path({str(tmp_path / 'x')!r}), bytes(100_000))\n"
        "except DiskFull: print('full')"
    )

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    done = subprocess.run([sys.executable, "-c", code], preexec_fn=limit, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "full"
    assert list(tmp_path.iterdir()) == []
