"""docs/tracing.md lists every setting of tracing as it is."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from recon.errors import ConfigInvalid
from vectorize.trace_config import TraceConfig, unit_of

PAGE = Path(__file__).parents[2] / "docs/tracing.md"


def settings(config, prefix="trace") -> dict[str, tuple[float, str]]:
    """Return full name -> (default, unit) of every setting, nested ones too."""
    found: dict[str, tuple[float, str]] = {}
    for one in fields(config):
        value = getattr(config, one.name)
        name = f"{prefix}.{one.name}"
        found |= settings(value, name) if is_dataclass(value) else {name: (value, unit_of(one.name).strip())}
    return found


def sections() -> list[str]:
    return [one.name for one in fields(TraceConfig) if is_dataclass(getattr(TraceConfig(), one.name))]


def test_the_page_lists_every_setting_with_its_default_and_unit():
    rows = re.findall(r"^\| `(trace\.[\w.]+)` \| ([\d.]+) ?([^|]*?) \| (.+) \|$", PAGE.read_text(), re.M)
    assert {name: (float(value), unit) for name, value, unit, _ in rows} == settings(TraceConfig())
    assert all(len(text) > 10 for *_, text in rows)


@pytest.mark.parametrize("section", sections())
def test_every_nested_setting_has_a_range(section):
    kind = type(getattr(TraceConfig(), section))
    for one in fields(kind):
        for value in (-1.0, 1e9, float("nan")):
            with pytest.raises(ConfigInvalid, match=rf"^trace\.{section}\.{one.name} must lie in "):
                kind(**{one.name: value})
