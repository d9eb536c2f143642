"""The report of a job as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def print_report(report: Mapping[str, Any]) -> None:
    """Print elements and metres per class, coverage, seconds per stage, total and peak memory."""
    console = Console(highlight=False, width=None)
    classes = report.get("classes") or {}
    if classes:
        table = Table("class", "elements", "metres", "longest", "score", "styles", box=None)
        for name, entry in classes.items():
            styles = ", ".join(f"{count} {style}" for style, count in entry.get("styles", {}).items())
            metres, longest = f"{entry['length_m']:.1f}", f"{entry['longest_m']:.1f}"
            table.add_row(name, str(entry["elements"]), metres, longest, f"{entry['score']:.2f}", styles)
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
    facts.append(
        f"total        {report['seconds']:.1f} s, peak memory {report['peak_memory_mb']:.0f} MB in one process"
    )
    return facts
