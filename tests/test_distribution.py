"""Tests of one file run on one worker, one after the other, so that what they share is made once."""

from __future__ import annotations

import pytest

RAN: list[str] = []  # of this process


@pytest.mark.parametrize("number", range(6))
def test_a_file_stays_on_one_worker(number: int, request: pytest.FixtureRequest) -> None:
    RAN.append(request.node.name)
    here = [item.name for item in request.session.items if item.path == request.node.path]
    assert here[: len(RAN)] == RAN
