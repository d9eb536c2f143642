"""Routes of published files: lists, whole files, ranges. Only what the ledger names can be fetched."""

from __future__ import annotations

import mimetypes
from base64 import b64encode
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import FileResponse

from service.ledger.submissions import StoredFile
from service.problems import Problem
from service.routes.job_access import existing, ledger_of
from service.schemas import ArtifactEntry, ArtifactPage
from service.stored_files import StoredFiles
from service.web.access import Reader, tenant_of
from service.web.openapi import refusals

router = APIRouter(prefix="/v1", tags=["artifacts"])
BYTES = {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", **BYTES},
    206: {"description": "The range of it.", **BYTES},
    304: {"description": "It is as If-None-Match states."},
    **refusals(404, 410, 416),
}
CHUNK_BYTES = 1 << 20  # Starlette's 64 KiB cost a shard thousands of changes of thread
SHA256 = r"^[0-9a-f]{64}$"


@router.get("/jobs/{job_id}/artifacts", responses=refusals(404))
def artifacts(request: Request, job_id: str, sender: Reader) -> ArtifactPage:
    """List the files of a job: none before it succeeded, all of them after."""
    ledger = ledger_of(request)
    existing(ledger.get(job_id), sender)
    entries = [
        ArtifactEntry(
            path=file.path,
            sha256=file.sha256,
            size_bytes=file.size_bytes,
            url=f"/v1/jobs/{job_id}/files/{quote(file.path)}",
        )
        for file in ledger.artifacts(job_id)
    ]
    return ArtifactPage(artifacts=entries)


@router.get("/artifacts/{sha256}", response_class=FileResponse, responses=FILE)
@router.head("/artifacts/{sha256}", include_in_schema=False)
def by_content(
    request: Request,
    sha256: Annotated[str, Path(pattern=SHA256)],
    sender: Reader,
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """Return a file by its sha256; honours Range, If-Range and If-None-Match."""
    return file_answer(request, ledger_of(request).artifact(sha256=sha256, tenant=tenant_of(sender)), if_none_match)


@router.get("/jobs/{job_id}/files/{path:path}", response_class=FileResponse, responses=FILE)
@router.head("/jobs/{job_id}/files/{path:path}", include_in_schema=False)
def by_path(
    request: Request, job_id: str, path: str, sender: Reader, if_none_match: Annotated[str, Header()] = ""
) -> Response:
    """Return a file of a job by its path; honours Range, If-Range and If-None-Match."""
    return file_answer(
        request, ledger_of(request).artifact(job_id=job_id, path=path, tenant=tenant_of(sender)), if_none_match
    )


def file_answer(request: Request, file: StoredFile | None, if_none_match: str) -> Response:
    """Return a stored file, or a part of it; raises the problems 404 and 410."""
    if file is None:
        raise Problem(404, "ARTIFACT_UNKNOWN", "there is no such file")
    etag = f'"{file.sha256}"'
    headers = {"ETag": etag, "Cache-Control": "private, max-age=31536000, immutable"}
    digest = b64encode(bytes.fromhex(file.sha256)).decode()
    headers |= {"X-Content-Type-Options": "nosniff", "Repr-Digest": f"sha-256=:{digest}:"}
    if etag in [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")] or if_none_match.strip() == "*":
        return Response(status_code=304, headers=headers)
    files: StoredFiles = request.app.state.stored_files
    stored = files.sound(file)
    media_type = "application/geo+json" if file.path.endswith(".geojson") else mimetypes.guess_type(file.path)[0]
    answer = FileResponse(stored, headers=headers, media_type=media_type or "application/octet-stream")
    answer.chunk_size = CHUNK_BYTES
    return answer
