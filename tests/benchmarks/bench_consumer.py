"""Measure how fast `roadscribe.ShardDataset` reads a snapshot from a service on loopback: `make bench-service`.

Shards of images as large as a camera's are published by a snapshot job of the real `serve`. Each run starts a new
service and an empty cache, so that both sides verify: the service before it sends, the consumer before it reads.
Cold: the files were dropped from the page cache, and stand beside the disk read at once by one reader. Warm: they are
in memory, and stand beside the same reader there. Again: the second epoch, from the consumer's own cache. Verification
is one sha256 on either side; its share is that of its own time in that of the run, as if nothing else overlapped it.
Goal: 70 % of the disk.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "worlds"), str(ROOT / "tests" / "benchmarks"), str(ROOT)]
os.environ["PYTHONPATH"] = str(ROOT)  # of the service's processes too

import small_shards  # noqa: E402 they need these paths
from labelled_jobs import add_job  # noqa: E402
from running_service import RunningService  # noqa: E402

from roadscribe import Client, ShardDataset  # noqa: E402
from service.ledger.database import open_database  # noqa: E402
from vectorize.config import PackConfig  # noqa: E402
from vectorize.labels.shard import pack  # noqa: E402

IMAGE_BYTES = 500_000
CHUNK = 1 << 20
DATASET = {"kind": "snapshot", "dataset": "bench", "splits": {"validation": 0.0, "test": 0.0}}


def write_shards(folder: Path, frames: int) -> Path:
    """Pack keyframes with two images each: small ones with as many bytes behind their end as a camera's has."""
    log = small_shards.drive(folder, frames=frames, origin=small_shards.at_degrees(8.0))
    for path in folder.glob("*-*.png"):
        with path.open("ab") as image:
            image.write(os.urandom(IMAGE_BYTES))
    pack(small_shards.labels(log), log, PackConfig(with_images=True, samples_per_shard=8), folder / "shards")
    return folder / "shards"


def publish(home: Path, shards: Path) -> None:
    """Publish the shards as the first snapshot of a dataset."""
    service = RunningService(home)
    engine = open_database(f"sqlite:///{home / 'ledger.sqlite3'}")
    try:
        with Client(service.url) as client:
            body = {**DATASET, "jobs": [add_job(engine, home, [shards])]}
            job = client.job(client.submit(body)["id"], wait_s=60)
        assert job["state"] == "succeeded", job["failure"]
    finally:
        engine.dispose()
        service.stop()


def drop(paths: list[Path]) -> None:
    """Let files leave the page cache."""
    for path in paths:
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read(paths: list[Path]) -> float:
    """Return bytes a second of one reader."""
    started, size = time.perf_counter(), 0
    for path in paths:
        with path.open("rb", buffering=0) as stream:
            while data := stream.read(CHUNK):
                size += len(data)
    return size / (time.perf_counter() - started)


def hashed(paths: list[Path]) -> float:
    """Return seconds of one sha256 of all files."""
    started = time.perf_counter()
    for path in paths:
        with path.open("rb") as stream:
            hashlib.file_digest(stream, "sha256")
    return time.perf_counter() - started


def consume(data: ShardDataset) -> float:
    """Return the seconds of an epoch."""
    started = time.perf_counter()
    for _ in data:
        pass
    data.set_epoch(0)
    return time.perf_counter() - started


def measure(home: Path, shards: list[Path], *, cold: bool) -> None:
    """Print a line for the first epoch, and one for the second."""
    size = sum(path.stat().st_size for path in shards)
    service = RunningService(home, executor="none")
    try:
        with tempfile.TemporaryDirectory(prefix="consumer-") as folder:
            data = ShardDataset(f"{service.url}/v1/datasets/bench", cache=Path(folder))
            (drop if cold else read)(shards)
            disk = read(shards)
            (drop if cold else read)(shards)
            sha_s = hashed(shards)
            (drop if cold else read)(shards)
            api = psutil.Process(service.process.pid)
            for name in ("cold",) if cold else ("warm", "again"):
                before = sum(api.cpu_times()[:2]), time.process_time()
                took_s = consume(data)
                cpu = sum(api.cpu_times()[:2]) - before[0], time.process_time() - before[1]
                line(name, size, took_s, disk, sha_s if name == "again" else 2 * sha_s, cpu)
    finally:
        service.stop()


def line(name: str, size: int, took_s: float, disk: float, verified_s: float, cpu_s: tuple[float, float]) -> None:
    """Print one line."""
    rate = size / took_s
    cells = [
        rate / 1e6,
        disk / 1e6,
        100 * rate / disk,
        100 * verified_s / took_s,
        *(cpu / (size / 1e9) for cpu in cpu_s),
    ]
    print(f"{name:8}", *(f"{cell:12.1f}" for cell in cells), flush=True)


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=200)
    given = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}; {given.frames * IMAGE_BYTES * 2 / 1e6:.0f} MB"
    )
    heads = ["MB/s", "disk MB/s", "% of disk", "% verifying", "API s a GB", "own s a GB"]
    print(" " * 8, *(f"{head:>12}" for head in heads))
    with tempfile.TemporaryDirectory(prefix="snapshot-") as folder:
        home = Path(folder) / "home"
        shards = write_shards(Path(folder) / "drive", given.frames)
        publish(home, shards)
        files = sorted((home / "store" / "objects" / "snapshot").rglob("*.tar"))
        for cold in (True, False):
            measure(home, files, cold=cold)


if __name__ == "__main__":
    main()
