"""The schema of the API, complete: what every operation may answer, and the bodies of jobs as components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.problems import PROBLEM_JSON, TITLES
from service.schemas import JobChange, NewWebhook, ProblemDocument
from workers.jobs.job_spec import kind_name
from workers.jobs.kinds import public_kinds
from workers.spec import adapter

PLACE = "#/components/schemas/{model}"
EVERYWHERE = (400, 422, 500, 503)
GUARDED = (401, 403, 429)
BODIES = (NewWebhook, JobChange)  # of requests that routes read by themselves


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of refusals, as the `responses` of a route."""
    schema = {"$ref": PLACE.format(model=ProblemDocument.__name__)}
    return {
        status: {"description": TITLES[status], "content": {PROBLEM_JSON: {"schema": schema}}} for status in statuses
    }


def body_of(model: str) -> dict[str, Any]:
    """Return the documentation of a request body, by the name of its schema, as the `openapi_extra` of a route."""
    body = {"application/json": {"schema": {"$ref": PLACE.format(model=model)}}}
    return {"requestBody": {"required": True, "content": body}}


def links(*operations: str) -> dict[str, Any]:
    """Return the operations on a job, named by their functions, as the links of the answer that made it."""
    return {name: {"operationId": name, "parameters": {"job_id": "$response.body#/id"}} for name in operations}


def install(app: FastAPI) -> None:
    """Let the app describe itself with all of this."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    components = document.setdefault("components", {}).setdefault("schemas", {})
    new_job = adapter(public_kinds()).json_schema(ref_template=PLACE)
    own = {model.__name__: model.model_json_schema(ref_template=PLACE) for model in (ProblemDocument, *BODIES)}
    for name, schema in ({"NewJob": new_job} | own).items():
        components |= schema.pop("$defs", {}) | {name: schema}
    for kind in map(kind_name, public_kinds()):
        variant = components[new_job["discriminator"]["mapping"][kind].rpartition("/")[2]]
        variant["required"] = sorted({"kind", *variant.get("required", ())})  # it chooses the variant
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own form, which no route answers
        components.pop(name, None)
    for operations in document["paths"].values():
        for operation in operations.values():
            _complete(operation)
    return document


def _complete(operation: dict[str, Any]) -> None:
    responses: dict[str, Any] = operation["responses"]
    responses.pop("422", None)
    statuses = EVERYWHERE + (GUARDED if operation.get("security") else ())
    documented: Mapping[int | str, Any] = refusals(*statuses)
    for status, content in documented.items():
        responses.setdefault(str(status), content)
