"""The log of a run: scalars as JSON lines and TensorBoard events, pictures as PNG files and in the same events."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

from recon.arrays import U8
from recon.artifact import write_atomic
from recon.errors import storage_errors
from training.engine.tensorboard_events import EventWriter

METRICS = "metrics.jsonl"


class Log:
    """Writes what is measured; a resumed run drops the lines of steps that it takes again."""

    def __init__(self, out: Path, step: int) -> None:
        """Go on after `step` steps in the folder of a run."""
        self._out, self._path = out, out / METRICS
        kept = "".join(json.dumps(row) + "\n" for row in rows(out) if row["step"] <= step)
        write_atomic(self._path, kept.encode())
        self._events = EventWriter(out / "events")
        self._since = time.monotonic()

    def add(self, step: int, scalars: Mapping[str, float], pictures: Mapping[str, U8] | None = None) -> None:
        """Log values, and RGB pictures (H, W, 3) by name, of one step; DiskFull or StorageError."""
        now = time.monotonic()
        row = {"step": step, "seconds": round(now - self._since, 3)} | {k: round(v, 6) for k, v in scalars.items()}
        self._since = now
        with storage_errors(str(self._path)), self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
        self._events.add(step, scalars)
        for name, picture in (pictures or {}).items():
            png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
            write_atomic(self._out / "pictures" / f"step-{step:08d}" / f"{name}.png", png)
            self._events.add_picture(step, name, png, (picture.shape[1], picture.shape[0]))


def rows(out: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's log: `step`, `seconds` since the line before, and scalars."""
    path = out / METRICS
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    # The last line of a killed run may be cut short.
    return [json.loads(line) for line in lines if line.endswith("}")]
