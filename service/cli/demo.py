"""`roadscribe demo`: a drive through the demo city, labelled by a real service over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from recon.config import SegmentConfig
from recon.errors import PathRefused, StorageError, WorkerLost, storage_errors
from service.cli.stage_bars import StageBars
from service.cli.submit import fetch_files, follow_job
from service.cli.table import print_report
from service.cli.terminal import echo, put
from service.cli.tree_memory import TreeMemory
from service.client import Client
from workers.jobs.label import LabelJob
from workers.spec import spec_record

MARK = ".roadscribe-demo"
START_LIMIT_S = 60.0
SHIPPED = SegmentConfig(backend="mask2former", weights="demo_city")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    out: Annotated[Path, typer.Argument(help="Folder for everything the demo makes.")] = Path("demo_out"),
    executor: Annotated[Literal["ray", "local"], typer.Option("--executor", help="Where stages run.")] = "ray",
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json on stdout.")] = False,
) -> None:
    """Drive through a small synthetic city, label its images with a service and the shipped net, show the result.

    Example: roadscribe demo
    """
    started = time.monotonic()
    out = out.absolute()
    _claim(out)
    drive = _write_drive(out)
    with TreeMemory() as memory, _service(out, executor) as url, Client(url) as client:
        echo(f"service: {url}")
        job = client.submit(spec_record(LabelJob(drive=str(drive), segment=SHIPPED)))
        echo(f"job: {job['id']}")
        try:
            job = follow_job(client, job["id"], detach=False)
        except KeyboardInterrupt:
            echo("interrupted; the same command continues from the finished stages")
            raise typer.Exit(130) from None
        if job["state"] != "succeeded":
            failure = job["failure"] or {}
            echo(f"{job['state']}: {failure.get('code')}: {failure.get('message')} {failure.get('hint', '')}")
            raise typer.Exit(1)
        result = out / "result"
        shutil.rmtree(result, ignore_errors=True)
        fetch_files(client, job["id"], result)
    if as_json:
        put(json.dumps(job["report"]))
        return
    print_report(job["report"])
    put(memory.line())
    put(f"demo         {time.monotonic() - started:.1f} s with drive and service")
    put()
    for path in sorted(result.glob("pictures/*.png")):
        put(path)


def _claim(out: Path) -> None:
    with storage_errors(str(out)):
        if out.is_dir() and any(out.iterdir()) and not (out / MARK).exists():
            raise PathRefused("the folder holds other files", where=str(out), hint="Name a new or empty folder.")
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).touch()


def _write_drive(out: Path) -> Path:
    """Write the demo drive in a process of its own, so that this one stays small; a finished one is kept."""
    drive = out / "drive"
    if not (drive / "drive.json").is_file():
        write_city(drive, {})
    return drive


def write_city(drive: Path, settings: dict[str, Any]) -> None:
    """Write a drive through the demo city in a child process; `settings` = CityConfig fields that are not default."""
    command = [sys.executable, "-m", "service.cli.demo_drive", str(drive), json.dumps(settings)]
    with StageBars() as bars, subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        bars.show("stage.started", {"stage": "drive", "index": 0, "count": 1})
        started = time.monotonic()
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                bars.show("stage.progress", {"stage": "drive", **json.loads(line)})
        if process.wait() == 0:
            seconds = time.monotonic() - started
            bars.show("stage.finished", {"stage": "drive", "index": 0, "count": 1, "seconds": seconds})
    if process.returncode != 0:
        raise WorkerLost("the demo drive could not be written", where=str(drive), hint="See the messages above.")


@contextmanager
def _service(out: Path, executor: str) -> Iterator[str]:
    """Start a service of its own on a free port and stop it at the end."""
    log = (out / "service.log").open("ab")
    command = [sys.executable, "-c", "from service.cli import main; main()", "serve", "--json", "--port", "0"]
    command += ["--home", str(out / "service"), "--root", str(out / "drive"), "--executor", executor]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROADSCRIBE_")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment, start_new_session=True)
    log.close()
    assert process.stdout is not None
    try:
        deadline = time.monotonic() + START_LIMIT_S
        url = _first_line(process.stdout.fileno(), deadline)
        with Client(url) as client:
            while not client.ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise _not_started(out)
                time.sleep(0.2)
        yield url
    except ValueError as error:
        raise _not_started(out) from error
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30.0)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()


def _first_line(descriptor: int, deadline: float) -> str:
    """Return the URL a service announces; raises ValueError when it ends or hesitates."""
    data = b""
    while b"\n" not in data:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(descriptor, 4096) if ready else b""
        if not chunk:
            raise ValueError("no URL")
        data += chunk
    body: dict[str, Any] = json.loads(data)
    return str(body["url"])


def _not_started(out: Path) -> StorageError:
    return StorageError("the service did not start", where=str(out / "service.log"), hint="The log states the reason.")
