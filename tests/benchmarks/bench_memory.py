"""Measure the memory of `roadscribe label` for drives of different lengths; it must not grow with the length.

The drive is one street of the demo city (320 x 180, six cameras, true id images, no LiDAR); shorter drives are its
first frames. Peaks are those of each stage's process and, sampled every second, of all processes together. Existing
results are kept, so an interrupted run can be continued.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SPACING_M = 4.0
STAGES = ("ingest", "segment", "fit", "bake", "trace", "crop", "pack", "draw")


def roadscribe(*arguments: str | Path) -> str:
    """Run a command of the project and return what it prints."""
    command = [sys.executable, "-c", "from service.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def frames_of(length_m: float) -> int:
    """Return the number of frames of a drive of a length."""
    return round(length_m / SPACING_M) + 1


def shortened(drive: Path, length_m: float, folder: Path) -> Path:
    """Return the first metres of a drive, its images shared with it by hard links."""
    if not (folder / "drive.json").is_file():
        for source in sorted(p for p in drive.rglob("*") if p.is_file() and p.suffix != ".json"):
            target = folder / source.relative_to(drive)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            os.link(source, target)
        for name in ("true_map.json", "true_poses.json", "drive.json"):
            body = json.loads((drive / name).read_text("utf-8"))
            if "frames" in body:
                body["frames"] = body["frames"][: frames_of(length_m)]
            (folder / name).write_text(json.dumps(body), encoding="utf-8")
    return folder


def measured(drive: Path, out: Path) -> dict[str, float]:
    """Label a drive unless done, and return megabytes per stage, of all processes, and seconds."""
    printed = out.with_suffix(".txt")
    if not printed.is_file():
        printed.write_text(roadscribe("label", drive, out), encoding="utf-8")
    report = json.loads((out / "report.json").read_text("utf-8"))
    together = re.search(r"memory\s+(\d+) MB at most in all processes", printed.read_text("utf-8"))
    peaks = {stage["name"]: stage["peak_memory_mb"] for stage in report["stages"]}
    return {**peaks, "together": float(together[1]) if together else 0.0, "seconds": report["seconds"]}


def table(rows: dict[float, dict[str, float]]) -> str:
    """Return the figures as a Markdown table in MB."""
    columns = [*STAGES, "together", "seconds"]
    lines = ["| drive | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {m:g} m | " + " | ".join(f"{row[c]:.0f}" for c in columns) + " |" for m, row in rows.items()]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=float, nargs="+", default=[100.0, 400.0, 1000.0], help="metres, 1000 at most")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--work", type=Path, default=Path("memory_out"), help="where drives and results are kept")
    given = parser.parse_args(arguments)
    longest = max(given.lengths)
    drive = given.work / f"drive-{longest:g}"
    if not (drive / "true_poses.json").is_file():
        size = ("--width", "320", "--height", "180", "--spacing", str(SPACING_M), "--no-lidar")
        roadscribe("city", drive, "--seed", str(given.seed), "--frames", str(frames_of(longest)), *size)
    rows = {}
    for length_m in sorted(given.lengths):
        one = drive if length_m == longest else shortened(drive, length_m, given.work / f"drive-{length_m:g}")
        rows[length_m] = measured(one, given.work / f"out-{length_m:g}")
        print(table(rows), flush=True)


if __name__ == "__main__":
    main()
