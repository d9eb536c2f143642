"""A file without a JSON object is refused by the name of what it should hold, with its path and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from recon.errors import InputInvalid
from vectorize.truth.json_object import read_json_object


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the map cannot be read: .*No such file"),
        (b"{", "the map cannot be read"),
        (b"\xff{}", "the map cannot be read"),
        (b"[1]", "the map is not a JSON object"),
    ],
)
def test_what_is_no_object_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "map.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputInvalid, match=message) as caught:
        read_json_object(path, what="the map", hint="Give another.")
    assert (caught.value.where, caught.value.hint) == (str(path), "Give another.")
