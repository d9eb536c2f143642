"""A file that holds one JSON object, for the readers of true maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recon.errors import InputInvalid


def read_json_object(path: Path, *, what: str, hint: str = "") -> dict[str, Any]:
    """Return the object in a file; InputInvalid, which calls it `what`, when the file holds no such object."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputInvalid(f"{what} cannot be read: {error}", where=str(path), hint=hint) from error
    if not isinstance(body, dict):
        raise InputInvalid(f"{what} is not a JSON object", where=str(path), hint=hint)
    return body
