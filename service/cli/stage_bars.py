"""Progress on the terminal: one bar per stage with rate and time left, or plain lines without a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from recon.progress import Throttle, Tick
from service.cli.terminal import echo, printable

LINE_EVERY_S = 10.0
NAME_WIDTH = 10  # columns of a stage name, which a narrow terminal must not cut


class _Rate(ProgressColumn):
    """Units per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        unit = printable(task.fields.get("unit") or "")
        return Text(f"{speed:.1f} {unit}/s" if speed and unit else "")


class StageBars:
    """Shows the events of a run, from this machine or from the service: the same (type, data) pairs."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._line = Throttle(LINE_EVERY_S)
        self._line.restart()
        if self._console.is_terminal:
            self._bars = Progress(
                TextColumn(
                    "{task.description:<10}", markup=False, table_column=Column(no_wrap=True, min_width=NAME_WIDTH)
                ),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                _Rate(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=self._console,
            )

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def only(self, stage: str) -> Tick:
        """Start the only stage of a command, and return what reports its progress."""
        self.show("stage.started", {"stage": stage, "index": 0, "count": 1})

        def tick(done: int, total: int, unit: str = "") -> None:
            self.show("stage.progress", {"stage": stage, "done": done, "total": total, "unit": unit})

        return tick

    def show(self, kind: str, data: dict[str, Any]) -> None:
        """Show one event."""
        if kind == "job":  # the newest state from the service
            kind, data = "stage.progress", data.get("progress") or {}
        stage = data.get("stage", "")
        if kind == "stage.progress":
            if "done" in data:
                self._progress(stage, data)
        elif kind in ("stage.started", "stage.skipped", "stage.finished"):
            self._stage(kind.removeprefix("stage."), stage, data)
        elif kind == "artifact.damaged":
            self._print(f"{stage}: the stored result was damaged and is made again ({data['reason']})")
        elif kind == "stage.waiting":
            others = "".join(f", of job {job}" for job in data["waits_for"])
            self._print(f"{stage}: waits ({data['reason']}{others})")
        elif kind in ("job.retry_wait", "job.failed") or "failure" in data:
            failure = data.get("failure", {})
            self._print(f"{kind.removeprefix('job.')}: {failure.get('code')}: {failure.get('message')}")
        elif kind == "job.blocked":
            self._print(f"blocked: waits for {', '.join(data['waits_for'])}")
        elif kind in ("job.queued", "job.running", "job.committing", "job.given_back", "job.cancelling"):
            self._print(kind.removeprefix("job.").replace("_", " "))

    def _stage(self, what: str, stage: str, data: dict[str, Any]) -> None:
        note = {"started": "", "skipped": "already done"}.get(what, f"{data.get('seconds', 0.0):.1f} s")
        if self._bars is None:
            self._print(f"[{data['index'] + 1}/{data['count']}] {stage}: {note or what}")
            return
        task = self._task(stage)
        self._bars.update(task, note=note)
        if what != "started":
            total = self._bars.tasks[task].total or 1
            self._bars.update(task, total=total, completed=total)
            self._bars.stop_task(task)

    def _progress(self, stage: str, data: dict[str, Any]) -> None:
        if self._bars is not None:
            task = self._task(stage)
            if not self._bars.tasks[task].finished:
                self._bars.update(task, completed=data["done"], total=data["total"], unit=data["unit"])
                if values := data.get("values"):
                    self._bars.update(task, note=" ".join(f"{name} {value:.4g}" for name, value in values.items()))
        elif self._line.due():
            values = "".join(f", {name} {value:.4g}" for name, value in data.get("values", {}).items())
            self._print(f"  {stage}: {data['done']} of {data['total']} {data['unit']}{values}")

    def _task(self, stage: str) -> TaskID:
        assert self._bars is not None
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(printable(stage), total=None, unit="", note="")
        return self._tasks[stage]

    def _print(self, text: str) -> None:
        self._line.restart()
        if self._bars is not None:
            self._console.print(printable(text), markup=False, highlight=False)
        else:
            echo(text)
