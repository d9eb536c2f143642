"""Reports what .ci/run did: seconds and tests of every phase, each reason for a skip, and the sums.

Usage: python .ci/report.py table FOLDER     of phases.tsv (name, seconds, exit status) and NAME.xml for some phases;
                                             exits 1 if a phase or a test failed, but for at most three tests that
                                             passed in the phase `alone`: those are named
       python .ci/report.py skipped FILE.xml prints the test files that hold skipped tests, for pytest to run again
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

Outcomes = dict[tuple[str, str], tuple[str, str]]  # (file or class, test) -> (outcome, reason of a skip)

# A test that ran in any phase is not skipped, and one that failed in any phase failed.
RANK = ("skipped", "passed", "failed")

# Tests that fail beside another one and pass alone show a loaded machine, if they are few; more show a defect.
ALONE, MOST_UNSTEADY = "alone", 3


def outcomes_of(path: Path) -> Outcomes:
    """Return what became of each test of a junit file; a test that errs before or after it runs has failed."""
    found: Outcomes = {}
    for case in ElementTree.parse(path).iter("testcase"):
        skip = case.find("skipped")
        failed = case.find("failure") is not None or case.find("error") is not None
        outcome = "failed" if failed else "passed" if skip is None else "skipped"
        reason = "" if skip is None else _without_paths(skip.get("message", ""))
        # A module that is skipped whole has its name where tests have that of their module.
        key = (case.get("classname") or case.get("name", ""), case.get("name", ""))
        found[key] = _graver(found.get(key), (outcome, reason))
    return found


def _graver(one: tuple[str, str] | None, other: tuple[str, str]) -> tuple[str, str]:
    """Return what counts of two outcomes of one test."""
    return other if one is None or RANK.index(other[0]) > RANK.index(one[0]) else one


def _without_paths(reason: str) -> str:
    """Return a reason without absolute paths, so that equal reasons meet in one line."""
    return re.sub(r"(?<!\S)/\S+[^\s:;,.)]", "...", " ".join(reason.split()))


def merged(runs: list[Outcomes]) -> Outcomes:
    """Return the last word on every test of several runs."""
    found: Outcomes = {}
    for run in runs:
        for key, value in run.items():
            found[key] = _graver(found.get(key), value)
    return found


def table(folder: Path) -> int:
    """Print the table of a run; return 1 if anything failed."""
    phases = [line.split("\t") for line in (folder / "phases.tsv").read_text().splitlines()]
    runs: list[Outcomes] = []
    alone: Outcomes = {}
    with_failures: set[str] = set()
    print(f"\n{'phase':<12}{'seconds':>8}{'passed':>8}{'failed':>8}{'skipped':>8}  result")
    for name, seconds, status in phases:
        path = folder / f"{name}.xml"
        counts: Counter[str] = Counter()
        if path.exists():
            found = outcomes_of(path)
            counts = Counter(outcome for outcome, _ in found.values())
            if name == ALONE:
                alone = found
            else:
                runs.append(found)
                with_failures |= {name} if counts["failed"] else set()
        cells = "".join(f"{counts[outcome] if counts else '':>8}" for outcome in ("passed", "failed", "skipped"))
        print(f"{name:<12}{seconds:>8}{cells}  {'ok' if status == '0' else f'exit status {status}'}")
    print(f"{'total':<12}{sum(int(seconds) for _, seconds, _ in phases):>8}")
    tests = merged(runs)
    failed = sorted(key for key, (outcome, _) in tests.items() if outcome == "failed")
    unsteady = [key for key in failed if alone.get(key, ("", ""))[0] == "passed"]
    forgiven = bool(unsteady) and unsteady == failed and len(failed) <= MOST_UNSTEADY
    if forgiven:
        tests |= dict.fromkeys(unsteady, ("passed", ""))
        failed = []
    reasons = Counter(reason for outcome, reason in tests.values() if outcome == "skipped")
    print("\nSkipped in every phase:" if reasons else "\nNothing was skipped.")
    for reason, count in reasons.most_common():
        print(f"{count:>5}  {reason}")
    for where, name in unsteady:
        print(f"UNSTEADY {where} {name}: failed beside other tests, passed alone")
    for where, name in failed:
        print(f"FAILED {where} {name}")
    bad = [name for name, _, status in phases if status != "0" and not (forgiven and name in with_failures)]
    if bad:
        print(f"Phases that failed: {', '.join(bad)}")
    counts = Counter(outcome for outcome, _ in tests.values())
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if bad or failed else 0


def skipped(path: Path) -> int:
    """Print the files of the tests that were skipped: pytest's own names of parametrized tests are not in the file."""
    if path.exists():
        files = {where for (where, _), (outcome, _) in outcomes_of(path).items() if outcome == "skipped"}
        found = {parts for where in files if (parts := _file_of(where))}
        print("".join(f"{file}\n" for file in sorted(found)), end="")
    return 0


def _file_of(classname: str) -> str:
    """Return the file of a class name such as tests.recon.test_grid or tests.recon.test_grid.TestRows."""
    parts = classname.split(".")
    for count in range(len(parts), 0, -1):
        path = Path(*parts[:count]).with_suffix(".py")
        if path.is_file():
            return path.as_posix()
    return ""


if __name__ == "__main__":
    sys.exit({"table": table, "skipped": skipped}[sys.argv[1]](Path(sys.argv[2])))
