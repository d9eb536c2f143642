"""Kill and race the whole service, and report what it lost: `make reliability`.

Every scenario runs a real service under load. Seeds are printed; `--seed` repeats the moments of a run, though not the
machine's timing. `--scale 0.1` does a tenth of the kills. Exits 1 if anything was lost, doubled or late.
"""

from __future__ import annotations

import argparse
import datetime
import math
import os
import random
import re
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "worlds"), str(ROOT)]
os.environ["PYTHONPATH"] = str(ROOT)  # of the service's processes too

from scenarios import BY_NAME, SCENARIOS, Outcome  # noqa: E402 it needs these paths

RECORD = """# Reliability

`make reliability` runs the service under load, kills its parts and races it, and then reads the whole ledger. This page
is its record. Each row names the commit and the load of the machine that it ran on. A scenario that runs again, as
`make reliability RELIABILITY=storm` does, replaces its row; `day` takes a quarter of an hour and runs only by name.
The limits of time are those of two cores without other work. On a machine with more load than cores the times measure
that load; faults do not depend on it.

| scenario | times | jobs | faults | until work goes on, longest | seconds | run |
|---|---|---|---|---|---|---|
{rows}

Faults are counted over the whole ledger after each scenario: acknowledged jobs that are lost, jobs that are doubled or
did not end well, attempts spent on the death of a machine, endings that happened twice, gaps in the events, stages
that were done twice, results without files and the reverse, and files whose sha256 differs.

{notes}
"""


def main() -> int:
    """Run the scenarios and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", help=f"scenarios, of {', '.join(SCENARIOS)}; all by default")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--at-once", type=int, default=2, help="scenarios at the same time: most of them mostly wait")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    print(f"seed {given.seed}, scale {given.scale}", flush=True)
    started, writing = time.monotonic(), threading.Lock()

    def run(name: str) -> Outcome:
        scenario, count = SCENARIOS[name]
        outcome = scenario(max(1, math.ceil(count * given.scale)), given.seed)
        with writing:
            print(_line(outcome), *_details(outcome), sep="\n  ", flush=True)
            if given.write:
                how = f"seed {given.seed}, scale {given.scale:g}, {given.at_once} at once"
                _record(given.write, outcome, how)
        return outcome

    with ThreadPoolExecutor(given.at_once) as pool:
        outcomes = list(pool.map(run, given.only or [name for name in SCENARIOS if name not in BY_NAME]))
    minutes = (time.monotonic() - started) / 60
    print(f"{minutes:.1f} minutes", flush=True)
    return 0 if all(outcome.good for outcome in outcomes) else 1


def _line(outcome: Outcome) -> str:
    longest = f"{max(outcome.recovery_s, default=0.0):.1f} s of {outcome.limit_s:.0f} s"
    faults = sum(outcome.faults.values())
    cells = (outcome.name, outcome.count, outcome.jobs, faults, longest, f"{outcome.seconds:.0f}")
    return "| " + " | ".join(map(str, cells)) + " |"


def _details(outcome: Outcome) -> list[str]:
    found = [f"{name}: {count}" for name, count in outcome.faults.items() if count]
    return found + [f"{name}: {value:.0f}" for name, value in outcome.notes.items()]


def _record(page: Path, outcome: Outcome, how: str) -> None:
    """Write the row and the note of an outcome; those of other scenarios stay."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[2]:.0f}"
    run = f"{datetime.date.today().isoformat()}, {commit.stdout.strip()}, {how}, {machine}"
    old = page.read_text() if page.is_file() else ""
    rows = {row.split(" | ")[0]: row for row in re.findall(r"^\| .* \|$", old, re.MULTILINE)}
    rows.pop("| scenario", None)
    notes = {note.partition(": ")[0]: note for note in re.findall(r"^- .*(?:\n  .*)*", old, re.MULTILINE)}
    line, details = _line(outcome), ", ".join(_details(outcome))
    rows[line.split(" | ")[0]] = f"{line} {run} |"
    notes.pop(f"- {outcome.name}", None)
    if details:
        notes[f"- {outcome.name}"] = textwrap.fill(f"- {outcome.name}: {details}", 120, subsequent_indent="  ")
    page.write_text(RECORD.format(rows="\n".join(rows.values()), notes="\n".join(notes.values())))


if __name__ == "__main__":
    sys.exit(main())
