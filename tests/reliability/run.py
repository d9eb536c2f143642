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
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "worlds"), str(ROOT)]
os.environ["PYTHONPATH"] = str(ROOT)  # of the service's processes too

from scenarios import SCENARIOS, Outcome  # noqa: E402 it needs these paths

RECORD = """# Reliability

`make reliability` runs the service under load, kills its parts and races it, and then reads the whole ledger. This page
is the record of its last run.

{head}

| scenario | times | jobs | faults | until work goes on, longest | seconds |
|---|---|---|---|---|---|
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
    started = time.monotonic()

    def run(name: str) -> Outcome:
        scenario, count = SCENARIOS[name]
        outcome = scenario(max(1, math.ceil(count * given.scale)), given.seed)
        print(_line(outcome), *_details(outcome), sep="\n  ", flush=True)
        return outcome

    with ThreadPoolExecutor(given.at_once) as pool:
        outcomes = list(pool.map(run, given.only or SCENARIOS))
    minutes = (time.monotonic() - started) / 60
    print(f"{minutes:.1f} minutes", flush=True)
    if given.write:
        how = f"seed {given.seed}, scale {given.scale:g}, {given.at_once} scenarios at once, {minutes:.1f} minutes"
        given.write.write_text(_record(outcomes, how))
    return 0 if all(outcome.good for outcome in outcomes) else 1


def _line(outcome: Outcome) -> str:
    longest = f"{max(outcome.recovery_s, default=0.0):.1f} s of {outcome.limit_s:.0f} s"
    faults = sum(outcome.faults.values())
    cells = (outcome.name, outcome.count, outcome.jobs, faults, longest, f"{outcome.seconds:.0f}")
    return "| " + " | ".join(map(str, cells)) + " |"


def _details(outcome: Outcome) -> list[str]:
    found = [f"{name}: {count}" for name, count in outcome.faults.items() if count]
    return found + [f"{name}: {value:.0f}" for name, value in outcome.notes.items()]


def _record(outcomes: list[Outcome], how: str) -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    today = datetime.date.today().isoformat()
    load = f"{os.cpu_count()} cores, load average {os.getloadavg()[2]:.1f}"
    head = f"Run of {today}, commit {commit.stdout.strip()}: {how}. Machine: {load}."
    notes = [f"- {outcome.name}: {', '.join(_details(outcome))}" for outcome in outcomes if _details(outcome)]
    return RECORD.format(head=head, rows="\n".join(map(_line, outcomes)), notes="\n".join(notes))


if __name__ == "__main__":
    sys.exit(main())
