"""Bodies of requests: JSON of a bounded size, and as what it is documented to be."""

from __future__ import annotations

from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from service.problems import Problem, field_faults

T = TypeVar("T", bound=BaseModel)


async def json_body(request: Request) -> bytes:
    """Return the body of a request; raises the problems 413 and 415."""
    # A form or plain text could be sent by any web page the user visits, without the browser asking first.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "CONTENT_TYPE", "the body must be application/json")
    limit, data = request.app.state.settings.max_body_bytes, bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise Problem(413, "BODY_TOO_LARGE", f"the body is larger than {limit} bytes")
    return bytes(data)


async def parsed(request: Request, model: type[T]) -> T:
    """Return the body as `model`; raises a problem that points at every fault."""
    data = await json_body(request)
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        faults = field_faults(error.errors(include_url=False, include_input=False, include_context=False))
        raise Problem(422, "REQUEST_INVALID", "the request has invalid fields", errors=faults) from None
