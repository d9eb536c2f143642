"""A resumed log has each step once, and a line that was cut short does no harm."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from training.engine.log import METRICS, Log, rows


def test_lines_of_steps_that_are_taken_again_are_dropped(tmp_path: Path) -> None:
    log = Log(tmp_path, 0)
    for step in (1, 2, 3):
        log.add(step, {"loss": step / 3})
    path = tmp_path / METRICS
    path.write_text(path.read_text() + '{"step": 4, "loss": 0.')
    log = Log(tmp_path, 2)
    log.add(3, {"loss": 0.5})
    assert [(row["step"], row["loss"]) for row in rows(tmp_path)] == [(1, 0.333333), (2, 0.666667), (3, 0.5)]
    assert all(row["seconds"] >= 0 for row in rows(tmp_path))


def test_a_run_without_a_log_has_no_rows(tmp_path: Path) -> None:
    assert rows(tmp_path) == []


def test_pictures_keep_their_colours(tmp_path: Path) -> None:
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[..., 0] = 255
    Log(tmp_path, 0).add(7, {}, {"birds_eye/first": picture})
    read = cv2.imread(str(tmp_path / "pictures/step-00000007/birds_eye/first.png"))
    assert read is not None
    assert (read[..., ::-1] == picture).all()
