"""The name of a stage's result: whatever may change the result changes the key, and nothing else does.

A key holds the code that the stage runs (`workers.closure`), the versions of the libraries that this code imports, the
device and the renderer that the settings become on the machine, the settings themselves, and the parents' content.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recon.artifact import digest_json
from recon.render.auto_settings import resolved_device, resolved_renderer
from workers.closure import SourceTree, own_tree
from workers.machine import Machine, versions_of
from workers.stage import Stage

# Libraries that carry settings and messages: they compute nothing that a result holds.
NOT_COMPUTING = frozenset({"pydantic", "rich", "structlog"})


def environment(stage: Stage, machine: Machine, tree: SourceTree | None = None) -> dict[str, Any]:
    """Return what a stage computes with: its code, its libraries, and the device and renderer it gets on a machine."""
    closure = (tree or own_tree()).closure(stage.function, stage.unused)
    libraries: dict[str, str] = {}
    for library in sorted(closure.libraries - NOT_COMPUTING):
        libraries |= versions_of(library)
    body: dict[str, Any] = {"code": digest_json(closure.files), "libraries": libraries}
    if stage.device:
        body["device"] = resolved_device(stage.device, cuda=machine.cuda)
    if stage.renderer:
        body["renderer"] = resolved_renderer(stage.renderer, cuda=machine.cuda, gsplat=machine.gsplat)
    return body


def stage_key(stage: Stage, config: Any, parents: Mapping[str, str], computes_with: Mapping[str, Any]) -> str:
    """Return the sha256 over a stage's role, `environment`, settings and the identities of its parents."""
    body = {"stage": stage.role, "environment": dict(computes_with), "config": config, "parents": dict(parents)}
    return digest_json(body)
