"""Tables for people: no name is ever cut, whatever the width; and the report of a job as such tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from service.cli.terminal import printable

WIDEST = 10_000  # columns: wider than any table


class _PlainTable(Table):
    """A table whose cells are shown as they are: no markup, no control characters."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        super().add_row(*(Text(printable(cell)) for cell in cells), **options)


def table_of(*heads: str) -> Table:
    """Return a table without lines around it."""
    return _PlainTable(*map(escape, heads), box=None)


def print_table(table: Table) -> None:
    """Print a table; on a narrow terminal cells wrap between words, and in a file or a pipe they do not wrap."""
    console = Console(highlight=False)
    if not console.is_terminal:
        natural = Measurement.get(console, console.options.update(width=WIDEST), table)
        console = Console(highlight=False, width=natural.maximum)
    for column in table.columns:
        # rich narrows columns without regard to words, and cuts those that do not fit.
        texts = [str(column.header), *map(str, column.cells)]
        column.min_width = max((len(word) for text in texts for word in text.split()), default=0)
    console.print(table, crop=False)


def print_line(text: str = "", *, style: str | None = None) -> None:
    """Print a line of text as it is: a terminal wraps it, a file holds it whole."""
    Console(highlight=False).print(printable(text), style=style, markup=False, soft_wrap=True)


def print_report(report: Mapping[str, Any]) -> None:
    """Print elements and metres per class, coverage, seconds per stage, total and peak memory."""
    classes = report.get("classes") or {}
    if classes:
        table = table_of("class", "elements", "metres", "longest", "score", "styles")
        for name, entry in classes.items():
            styles = ", ".join(f"{count} {style}" for style, count in entry.get("styles", {}).items())
            metres, longest = f"{entry['length_m']:.1f}", f"{entry['longest_m']:.1f}"
            table.add_row(name, str(entry["elements"]), metres, longest, f"{entry['score']:.2f}", styles)
        print_table(table)
    stages = table_of("stage", "seconds", "memory", "")
    for stage in report["stages"]:
        done = stage["state"] == "skipped"
        memory = "" if done else f"{stage['peak_memory_mb']:.0f} MB"
        stages.add_row(stage["name"], f"{stage['seconds']:.1f}", memory, "already done" if done else "")
    print_table(stages)
    for line in _facts(report):
        print_line(line)


def _facts(report: Mapping[str, Any]) -> list[str]:
    facts = []
    if report.get("coverage") is not None:
        facts.append(f"coverage     {100.0 * report['coverage']:.1f} % of the labels' area was seen")
    if report.get("mount"):
        facts.append(f"rig          {report['mount']['message']}")
    for trip in report.get("trips", []):
        moved = f"moved by {trip['shift_m']:.2f} m, raised by {trip['raised_m']:.2f} m"
        if trip["residual_m"] is not None:
            moved += f", {trip['shared']:.0%} of its marks shared"
        facts.append(f"trip         {trip['name']}: {moved if trip['used'] else 'left out: ' + trip['left_out']}")
    for lane in report.get("lanes", []):
        facts.append(
            f"lane         {lane['median_m']:.2f} m wide over {lane['length_m']:.0f} m"
            f" (90 % within {lane['p5_m']:.2f} to {lane['p95_m']:.2f} m)"
        )
    if "divider_crossings" in report:
        facts.append(f"crossings    {report['divider_crossings']} between dividers")
    held_out = report.get("reprojection")
    if held_out and held_out.get("median_px") is not None:
        facts.append(
            f"held out     median {held_out['median_px']:.2f} px from painted divider to the nearest mark pixel,"
            f" {100 * held_out['marks_met']:.0f} % of mark pixels met, in {held_out['images']} images"
        )
    if held_out and "check" in held_out:
        facts.append(f"verdict      {held_out['check']['verdict']}")
    facts.append(
        f"total        {report['seconds']:.1f} s, peak memory {report['peak_memory_mb']:.0f} MB in one process"
    )
    return facts
