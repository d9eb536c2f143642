"""Routes of datasets: lists, snapshots, and their files. Both never change; a name means one of the sender's tenant."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse

from service.ledger.api_keys import ApiKey
from service.ledger.datasets import Datasets, StoredSnapshot
from service.problems import Problem
from service.routes.job_access import ledger_of
from service.routes.published_files import FILE, file_answer
from service.schemas import DatasetPage, SnapshotEntry, SnapshotPage
from service.web.access import Reader
from service.web.openapi import refusals
from vectorize.datasets.layout import RECORD
from vectorize.datasets.page import page

router = APIRouter(prefix="/v1", tags=["datasets"])
PAGE = {200: {"description": "Markdown.", "content": {"text/markdown": {}}}, **refusals(404)}

Name = Annotated[str, Path(max_length=64)]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]  # what the ledger numbers with


def _datasets(request: Request) -> Datasets:
    datasets: Datasets = request.app.state.datasets
    return datasets


@router.get("/datasets")
def list_datasets(request: Request, sender: Reader) -> DatasetPage:
    """List the datasets by name, each with its newest snapshot."""
    return DatasetPage(datasets=[_entry(one) for one in _datasets(request).newest(tenant=sender.tenant)])


@router.get("/datasets/{name}/snapshots", responses=refusals(404))
def snapshots(request: Request, name: Name, sender: Reader) -> SnapshotPage:
    """List the snapshots of a dataset, newest first."""
    found = _datasets(request).snapshots(name, tenant=sender.tenant)
    if not found:
        raise Problem(404, "DATASET_UNKNOWN", "there is no such dataset")
    return SnapshotPage(snapshots=[_entry(one) for one in found])


@router.get("/datasets/{name}/snapshots/{number}", responses=refusals(404))
def snapshot(request: Request, response: Response, name: Name, number: Number, sender: Reader) -> SnapshotEntry:
    """Return a snapshot: its digest, what it holds, and where its files are."""
    found = _existing(request, name, number, sender)
    response.headers["ETag"] = f'"{found.sha256}"'
    return _entry(found)


@router.get("/datasets/{name}/snapshots/{number}/page", response_class=PlainTextResponse, responses=PAGE)
def snapshot_page(request: Request, name: Name, number: Number, sender: Reader) -> Response:
    """Say in Markdown what a snapshot holds and how to train on it."""
    found = _existing(request, name, number, sender)
    address = str(request.base_url.replace(path=_address(found)))
    return PlainTextResponse(page(found.summary, address), media_type="text/markdown; charset=utf-8")


@router.get("/datasets/{name}/snapshots/{number}/files/{path:path}", response_class=FileResponse, responses=FILE)
@router.head("/datasets/{name}/snapshots/{number}/files/{path:path}", include_in_schema=False)
def snapshot_file(
    request: Request,
    name: Name,
    number: Number,
    path: str,
    sender: Reader,
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """Return a file of a snapshot: snapshot.json names all others by sha256; honours Range and If-Range."""
    job_id = _existing(request, name, number, sender).job_id
    return file_answer(request, ledger_of(request).artifact(job_id=job_id, path=path), if_none_match)


def _existing(request: Request, name: str, number: int, sender: ApiKey) -> StoredSnapshot:
    found = _datasets(request).snapshot(name, number, tenant=sender.tenant)
    if found is None:
        raise Problem(404, "SNAPSHOT_UNKNOWN", "there is no such snapshot")
    return found


def _address(one: StoredSnapshot) -> str:
    return f"/v1/datasets/{one.dataset}/snapshots/{one.number}"


def _entry(one: StoredSnapshot) -> SnapshotEntry:
    address = _address(one)
    return SnapshotEntry(
        dataset=one.dataset,
        number=one.number,
        sha256=one.sha256,
        created_at=one.created_at,
        job=one.job_id,
        url=address,
        page_url=f"{address}/page",
        record_url=f"{address}/files/{RECORD}",
        summary=one.summary,
    )
