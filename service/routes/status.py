"""Routes for those who watch the service: health, readiness, metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from service.routes.jobs import ledger_of
from service.schemas import Health

router = APIRouter(tags=["status"])
guarded = APIRouter(tags=["status"])
STALE_S = 15.0


@router.get("/healthz")
def healthz() -> Health:
    """Say that the API process lives."""
    return Health(status="ok")


@router.get("/readyz", responses={503: {"description": "Jobs would wait.", "model": Health}})
def readyz(request: Request, response: Response) -> Health:
    """Say whether jobs would run: the ledger answers and an executor was seen lately; else 503."""
    age = ledger_of(request).executor_age_s()
    ready = age is not None and age < STALE_S
    response.status_code = 200 if ready else 503
    return Health(status="ok" if ready else "waiting", executor_age_s=age)


@guarded.get("/metrics", response_class=PlainTextResponse)
def metrics(request: Request) -> Response:
    """Return the figures of the ledger for Prometheus."""
    ledger = ledger_of(request)
    registry = CollectorRegistry()
    jobs = Gauge("roadscribe_jobs", "Jobs by state.", ["state"], registry=registry)
    for name, value in ledger.figures().items():
        if name.startswith("jobs_"):
            jobs.labels(name.removeprefix("jobs_")).set(value)
        else:
            Gauge(f"roadscribe_{name}", name.replace("_", " "), registry=registry).set(value)
    age = ledger.executor_age_s()
    beat = Gauge("roadscribe_executor_age_seconds", "Time since an executor was seen.", registry=registry)
    beat.set(-1.0 if age is None else age)
    aside = Gauge("roadscribe_artifacts_set_aside", "Damaged results that are kept.", registry=registry)
    aside.set(request.app.state.stored_files.set_aside_count())
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
