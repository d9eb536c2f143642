"""What the commands print: a line each, whatever the names in it hold."""

from __future__ import annotations

import sys
import unicodedata

# Marks that turn the direction of what follows: a name with one is read as another name.
_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: object) -> str:
    """Return a text as one line that a terminal shows and does not obey: control characters are written out."""
    line = str(text)
    if line.isprintable():
        return line
    return "".join(c.encode("unicode_escape").decode() if _active(c) else c for c in line)


def _active(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in _TURNS


def put(text: object = "", *, flush: bool = False) -> None:
    """Print a line of a result on stdout."""
    print(printable(text), flush=flush)


def echo(text: object = "") -> None:
    """Print a line for people on stderr: stdout belongs to results."""
    print(printable(text), file=sys.stderr, flush=True)
