"""The report of a campaign as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from service.cli.terminal import printable

Record = dict[str, Any]


def campaign_page(record: Record) -> str:
    """Return the report as Markdown."""
    return "\n".join(_lines(record)) + "\n"


def _lines(record: Record) -> Iterator[str]:
    counts = record["counts"]
    yield f"# Campaign for the dataset {record['campaign']['dataset']}"
    yield ""
    yield f"{counts['labelled']} of {counts['drives']} drives were labelled, {counts['failed']} failed."
    yield f"Drives that meet form {counts['sites']} sites with {counts['drives_in_sites']} drives."
    yield f"Sites that failed: {counts['sites_failed']}."
    yield from _snapshot_lines(record["snapshot"])
    drives = [one | {"name": f"{one['drive']} {one['scene']}".rstrip()} for one in record["drives"]]
    sites = [
        one | {"name": f"site of {len(one['drives'])} drives: {', '.join(one['drives'])}"} for one in record["sites"]
    ]
    failed = [one for one in (*drives, *sites) if one["failure"]]
    if failed:
        rows = [(one["name"], *(one["failure"][n] for n in ("code", "message", "where", "hint"))) for one in failed]
        yield from _table("Failures", ("drive", "code", "message", "where", "what to do"), rows)
    left_out = [(one["drive"], one["reason"]) for site in record["sites"] for one in site["left_out"]]
    if left_out:
        yield from _table("Left out of their site, published alone", ("drive", "reason"), left_out)
    notes = [(one["name"], f"has the same content as {one['copy_of']}") for one in drives if one["copy_of"]]
    notes += [(name, "has no origin, so it was compared with no other drive") for name in record["without_place"]]
    if notes:
        yield from _table("Notes", ("drive", "note"), notes)
    if record["sites"]:
        rows = [(one["job"], one["state"], "<br>".join(one["drives"])) for one in record["sites"]]
        yield from _table("Sites", ("job", "state", "drives"), rows)
    rows = [
        (n, e["run"], e["skipped"], f"{e['seconds']:.1f}", f"{e['longest_s']:.1f}") for n, e in record["stages"].items()
    ]
    yield from _table("Cost of the stages", ("stage", "run", "skipped", "seconds", "longest"), rows)


def _snapshot_lines(snapshot: Record | None) -> Iterator[str]:
    yield ""
    if snapshot is None:
        yield "Nothing was published: no drive was labelled."
    elif "url" in snapshot:
        totals = ", ".join(f"{total['samples']} {split}" for split, total in snapshot["totals"].items())
        yield f"Snapshot {snapshot['number']}: {totals} samples. Train on it:"
        yield ""
        yield "```"
        yield f"roadscribe train SETTINGS.toml RUN --data {snapshot['url']}"
        yield "```"
    else:
        failure = snapshot["failure"] or {"code": "", "message": snapshot["state"], "hint": ""}
        yield f"Nothing was published: {failure['code']}: {failure['message']} {failure['hint']}".rstrip()


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield f"| {' | '.join(printable(cell).replace('|', '&#124;') for cell in row)} |"
