"""`roadscribe label`: a whole job on this machine, without the service."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from recon.errors import Cancelled, RoadscribeError
from service.cli.progress import StageBars, say
from service.cli.spec import Changes, ClassMap, Format, Holdout, Scene, Segmenter, Sweeps, Weights, label_spec
from service.cli.table import print_report
from service.cli.tree_memory import TreeMemory
from service.results import claim_folder, write_result
from workers.local_pool import LocalPool
from workers.retry import decide
from workers.run import RunReport, run
from workers.spec import LabelJob
from workers.store import Store


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(label)


def label(
    drive: Annotated[Path, typer.Argument(help="Folder of the drive.")],
    out: Annotated[Path, typer.Argument(help="Folder for the results: new, empty, or of an earlier run.")],
    format_: Format = "auto",
    scene: Scene = "",
    sweeps: Sweeps = False,
    segmenter: Segmenter = "id_images",
    weights: Weights = None,
    class_map: ClassMap = "",
    holdout: Holdout = 0,
    changes: Changes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print report.json on stdout.")] = False,
) -> None:
    """Label one drive on this machine.

    OUT gets map.geojson, shards/, pictures/ and report.json. Finished stages are kept in OUT, so that the same
    command continues after an interruption and skips what is done.

    Example: roadscribe label my_drive out --segmenter openvino --weights road-segmentation-adas-0001.xml
    """
    spec = label_spec(
        drive,
        drive_format=format_,
        scene=scene,
        sweeps=sweeps,
        segmenter=segmenter,
        weights=weights,
        class_map=class_map,
        holdout=holdout,
        changes=changes,
    )
    store = Store(claim_folder(out))
    stop = threading.Event()
    previous = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        with StageBars() as bars, TreeMemory() as memory:
            report = _run_with_retries(spec, store, bars, stop)
    except Cancelled:
        say("interrupted; the same command continues from the finished stages")
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGINT, previous)
    body = write_result(report, out)
    if as_json:
        print(json.dumps(body))
    else:
        print_report(body)
        print(memory.line())
        print(f"\nResults: {out}")


def _run_with_retries(spec: LabelJob, store: Store, bars: StageBars, stop: threading.Event) -> RunReport:
    attempt = 1
    while True:
        pool = LocalPool()
        try:
            return run(spec, store, pool, events=lambda e: bars.show(e.kind, e.record()), should_stop=stop.is_set)
        except RoadscribeError as error:
            decision = decide(error, attempt)
            if not decision.again or isinstance(error, Cancelled):
                raise
            say(f"{error} Trying again in {decision.delay_s:.0f} s.")
            time.sleep(decision.delay_s)
            attempt += 1
        finally:
            pool.close()
