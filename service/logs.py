"""Logs of the service processes: lines of JSON on stderr that never make the writer of a line wait.

A line goes into a bounded queue, and a thread of its own writes it. When nobody reads stderr, lines are dropped and
counted; the count is the next line that gets through. No line grows with what a client sent.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import threading
import traceback
from collections.abc import MutableMapping
from functools import cache
from typing import Any

import structlog

MOST_LINES = 2000
LONGEST_VALUE = 2000  # characters of a value in a line
LONGEST_TRACE = 8000
LAST_WORDS_S = 1.0  # how long a process that ends waits for its last lines


class LineWriter(threading.Thread):
    """Writes lines to a file descriptor. `write` never blocks."""

    def __init__(self, descriptor: int, most_lines: int = MOST_LINES) -> None:
        super().__init__(daemon=True, name="log")
        self._descriptor = descriptor
        self._lines: queue.Queue[str | None] = queue.Queue(most_lines)
        self._lock = threading.Lock()
        self._dropped = 0

    def write(self, line: str) -> None:
        """Queue a line, or count it as dropped."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            with self._lock:
                self._dropped += 1

    def run(self) -> None:
        """Write lines until `close`."""
        while (line := self._lines.get()) is not None:
            with self._lock:
                dropped, self._dropped = self._dropped, 0
            if dropped:
                self._put(f'{{"dropped": {dropped}, "event": "log.dropped", "level": "warning"}}')
            self._put(line)

    def _put(self, line: str) -> None:
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        # Not through sys.stderr: the interpreter could not end while this thread waits inside its buffer.
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except OSError:
                return  # whoever read has gone

    def close(self) -> None:
        """Write what is queued, as far as somebody reads it."""
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            return
        self.join(LAST_WORDS_S)


class _Logger:
    """What structlog calls with a finished line."""

    def __init__(self, writer: LineWriter) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.msg = writer.write


class _Standard(logging.Handler):
    """Turns the records of libraries into lines of the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=error)


def _bounded(_: object, __: str, values: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Render an exception without the locals of its frames, and cut what is too long for a line."""
    error = values.pop("exc_info", None)
    if isinstance(error, BaseException):
        trace = "".join(traceback.format_exception(error, limit=-30))
        half = LONGEST_TRACE // 2
        values["exception"] = trace if len(trace) <= LONGEST_TRACE else f"{trace[:half]}\n...\n{trace[-half:]}"
    for name, value in values.items():
        if not isinstance(value, int | float | None) and name != "exception":
            text = value if isinstance(value, str) else repr(value)
            values[name] = text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}... ({len(text)} characters)"
    return values


@cache
def configure() -> None:
    """Send the logs of this process, and those of its libraries from warnings on, to stderr."""
    writer = LineWriter(2)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            _bounded,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _Logger(writer),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Standard()], level=logging.WARNING, force=True)
    writer.start()
    atexit.register(writer.close)
