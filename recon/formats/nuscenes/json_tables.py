"""nuScenes' tables, a row at a time: the large ones hold millions of rows, of which one scene uses some hundred.

The devkit loads whole tables and asserts that they are sound. Here a fault is reported with its file and row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from recon.errors import DriveInvalid
from recon.files import open_inside

CHUNK = 1 << 20
LONGEST_ROW = 1 << 22  # characters: a longer row means a broken file, which is not read further
_HINT = "Restore the table as nuScenes distributes it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a table, with its place in the file."""

    table: str  # path of the table relative to the data root
    number: int
    fields: dict[str, Any]

    @property
    def where(self) -> str:
        """Return file and row for messages."""
        return f"{self.table}, row {self.number}"

    def text(self, field: str) -> str:
        """Return a text field; DriveInvalid if it is missing or not text."""
        value = self.fields.get(field)
        if not isinstance(value, str):
            raise DriveInvalid(f"{field} is {value!r}, not text", where=self.where, hint=_HINT)
        return value

    def integer(self, field: str) -> int:
        """Return an integer field; DriveInvalid if it is missing or not an integer."""
        value = self.fields.get(field)
        if not isinstance(value, int) or isinstance(value, bool):
            raise DriveInvalid(f"{field} is {value!r}, not an integer", where=self.where, hint=_HINT)
        return value


def rows(root: Path, name: str, keep: Callable[[dict[str, Any]], bool] = lambda _: True) -> Iterator[Row]:
    """Yield the rows of the table `root/name` that `keep` accepts; DriveInvalid states the row that is broken."""
    try:
        with TextIOWrapper(open_inside(root, name, where=name), encoding="utf-8") as stream:
            for number, fields in enumerate(_values(stream, name)):
                if not isinstance(fields, dict):
                    raise DriveInvalid("the row is not a JSON object", where=f"{name}, row {number}", hint=_HINT)
                if keep(fields):
                    yield Row(table=name, number=number, fields=fields)
    except (OSError, UnicodeDecodeError) as error:
        raise DriveInvalid(f"the table cannot be read: {error}", where=name, hint=_HINT) from error


def _values(stream: TextIO, name: str) -> Iterator[Any]:
    """Yield the values of a JSON list without holding more than a chunk of its text."""
    decode = json.JSONDecoder().raw_decode
    text, number = stream.read(CHUNK), 0
    ended, at = len(text) < CHUNK, _skip(text, 0)
    if text[at : at + 1] != "[":
        raise DriveInvalid("the table is not a JSON list", where=name, hint=_HINT)
    at += 1
    while True:
        at = _skip(text, at)
        if at < len(text) and text[at] == "]":
            return
        try:
            value, after = decode(text, at)
        except ValueError as error:
            more = "" if ended or len(text) - at > LONGEST_ROW else stream.read(CHUNK)
            if not more:
                message = f"the row is cut off or does not parse: {error}"
                raise DriveInvalid(message, where=f"{name}, row {number}", hint=_HINT) from error
            text, at, ended = text[at:] + more, 0, len(more) < CHUNK
            continue
        yield value
        at, number = after, number + 1


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n,":
        at += 1
    return at


def by_token(found: Iterator[Row]) -> dict[str, Row]:
    """Return rows by their token; DriveInvalid for a repeated token."""
    result: dict[str, Row] = {}
    for row in found:
        token = row.text("token")
        if token in result:
            raise DriveInvalid(f"token {token} is also in row {result[token].number}", where=row.where, hint=_HINT)
        result[token] = row
    return result


def follow(row: Row, field: str, target: dict[str, Row], table: str) -> Row:
    """Return the row that a token refers to; DriveInvalid, with this row's place, if it does not exist."""
    token = row.text(field)
    if token not in target:
        raise DriveInvalid(f"{field} {token!r} does not exist in {table}", where=row.where, hint=_HINT)
    return target[token]
