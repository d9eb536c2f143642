"""Specs of jobs as text and back: what a client sends, and what the ledger stores."""

from __future__ import annotations

import math
from functools import cache
from typing import Annotated, Any, Union

from pydantic import Field, TypeAdapter, ValidationError

from recon.artifact import digest_json
from recon.errors import ConfigInvalid
from workers.jobs import kinds
from workers.jobs.job_spec import JobSpec, kind_name


@cache
def adapter(of: tuple[type[JobSpec], ...]) -> TypeAdapter[JobSpec]:
    """Return what reads a job of one of these kinds, chosen by its field `kind`."""
    union: Any = Annotated[Union[of], Field(discriminator="kind")]  # noqa: UP007 - the tuple is known at run time only
    return TypeAdapter(union)


def parse_spec(body: bytes | str) -> JobSpec:
    """Return the spec in a JSON text; raises pydantic's ValidationError (with places) or ConfigInvalid (a range)."""
    # Strict: a number in quotes is a mistake of the sender, and is refused.
    spec = adapter(kinds.KINDS).validate_json(body, strict=True)
    _refuse_nonfinite(spec.model_dump(), "")
    return spec


def stored_spec(text: str) -> JobSpec:
    """Return the spec of a job that the ledger holds; raises ConfigInvalid when this version cannot read it."""
    try:
        return parse_spec(text)
    except (ValidationError, ConfigInvalid) as error:
        hint = "Submit it again."
        raise ConfigInvalid("another version of Roadscribe took the job", where="spec", hint=hint) from error


def _refuse_nonfinite(value: Any, place: str) -> None:
    """Raise ConfigInvalid for NaN and infinities: no range check written as a comparison finds them all."""
    if isinstance(value, dict):
        for name, entry in value.items():
            _refuse_nonfinite(entry, f"{place}.{name}" if place else name)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigInvalid(f"{place} must be a finite number")


def pointer(location: tuple[int | str, ...]) -> str:
    """Return the JSON pointer of a pydantic error location, without the name of the union's branch."""
    parts = [str(part) for part in location]
    if parts and parts[0] in map(kind_name, kinds.KINDS):
        parts = parts[1:]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def faults_of(error: ValidationError) -> str:
    """Return every fault that pydantic found as one text, each with its JSON pointer."""
    return "; ".join(f"{pointer(e['loc']) or '/'}: {e['msg']}" for e in error.errors(include_url=False))


def spec_record(spec: JobSpec) -> dict[str, Any]:
    """Return the spec as JSON with every default spelled out."""
    return spec.model_dump(mode="json")


def natural_key(spec: JobSpec) -> str:
    """Return the digest by which two submissions are the same job."""
    return digest_json(spec_record(spec))
