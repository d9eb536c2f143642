"""A state of arrays and JSON in one file, replaced as a whole at intervals; a damaged file counts as none."""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recon.arrays import AnyArray
from recon.errors import storage_errors

SAVE_EVERY_S = 30.0
MOST_SHARE = 0.05  # of the time, that saving may take
FACTS = "facts"  # the member of the file that holds the JSON


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class State:
    """Where a computation stands: exactly, so that going on from here gives the bytes of one without a stop."""

    arrays: Mapping[str, AnyArray]
    facts: Mapping[str, Any]  # JSON


class Checkpoint:
    """The state of one computation; without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._due = time.monotonic() + SAVE_EVERY_S

    def load(self) -> State | None:
        """Return the last state, or None; the checksums of its arrays were verified."""
        if self._path is None or not self._path.is_file():
            return None
        try:
            with self._path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return State(facts=json.loads(arrays.pop(FACTS).tobytes()), arrays=arrays)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None  # a power cut, or a disk that lost bits: the work starts anew

    def offer(self, state: Callable[[], State]) -> None:
        """Save the state if it is time to."""
        if self._path is None or time.monotonic() < self._due:
            return
        started = time.monotonic()
        now = state()
        facts: AnyArray = np.frombuffer(json.dumps(now.facts).encode(), dtype=np.uint8)
        scratch = self._path.with_name(f".{self._path.name}.part")
        with storage_errors(str(self._path)):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with scratch.open("wb") as stream:
                np.savez(stream, allow_pickle=False, **{FACTS: facts}, **now.arrays)
                stream.flush()
                os.fsync(stream.fileno())
            scratch.replace(self._path)
        ended = time.monotonic()
        self._due = ended + max(SAVE_EVERY_S, (ended - started) / MOST_SHARE)

    def forget(self) -> None:
        """Remove the file: the computation has ended."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
