"""The report of a job as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def print_report(report: Mapping[str, Any]) -> None:
    """Print elements and metres per class, coverage, seconds per stage, total and peak memory."""
    console = Console(highlight=False, width=None)
    elements = report.get("elements") or {}
    if elements:
        table = Table("element", "count", "metres", box=None)
        for name, entry in elements.items():
            table.add_row(name, str(entry["count"]), f"{entry['length_m']:.1f}")
        console.print(table)
    stages = Table("stage", "seconds", "memory", "", box=None)
    for stage in report["stages"]:
        done = stage["state"] == "skipped"
        memory = "" if done else f"{stage['peak_memory_mb']:.0f} MB"
        stages.add_row(stage["name"], f"{stage['seconds']:.1f}", memory, "already done" if done else "")
    console.print(stages)
    for line in _facts(report):
        console.print(line)


def _facts(report: Mapping[str, Any]) -> list[str]:
    facts = []
    if report.get("coverage") is not None:
        facts.append(f"coverage     {100.0 * report['coverage']:.1f} % of the labels' area was seen")
    held_out = report.get("reprojection")
    if held_out:
        facts.append(f"held out     median {held_out['median_px']:.2f} px from divider to paint")
    facts.append(
        f"total        {report['seconds']:.1f} s, peak memory {report['peak_memory_mb']:.0f} MB in one process"
    )
    return facts
