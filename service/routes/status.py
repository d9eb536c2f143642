"""Routes for those who watch the service: health, readiness, metrics."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from service.ledger.outbox.deliveries import Deliveries
from service.routes.job_access import ledger_of
from service.schemas import Health

router = APIRouter(tags=["status"])
guarded = APIRouter(tags=["status"])
STALE_S = 15.0


@router.get("/healthz")
async def healthz() -> Health:
    """Say that the API process lives, without a thread: all of them may wait for the ledger."""
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
    """Return the figures of this process and of the ledger, which is those of all processes, for Prometheus."""
    ledger = ledger_of(request)
    registry = CollectorRegistry()
    jobs = Gauge("roadscribe_jobs", "Jobs by state.", ["state"], registry=registry)
    deliveries: Deliveries = request.app.state.deliveries
    for name, value in (ledger.figures() | deliveries.figures()).items():
        if name.startswith("jobs_"):
            jobs.labels(name.removeprefix("jobs_")).set(value)
        elif name.endswith("_total"):
            total = CounterMetricFamily(
                f"roadscribe_{name.removesuffix('_total')}", name.replace("_", " "), value=value
            )
            registry.register(_Collected(total))
        else:
            Gauge(f"roadscribe_{name}", name.replace("_", " "), registry=registry).set(value)
    age = ledger.executor_age_s()
    beat = Gauge("roadscribe_executor_age_seconds", "Time since an executor was seen.", registry=registry)
    beat.set(-1.0 if age is None else age)
    aside = Gauge("roadscribe_artifacts_set_aside", "Damaged results that are kept.", registry=registry)
    aside.set(request.app.state.stored_files.set_aside_count())
    stages = HistogramMetricFamily("roadscribe_stage_seconds", "Time that a stage took.", labels=["stage"])
    for stage, (buckets, total_s) in ledger.stage_seconds().items():
        stages.add_metric([stage], buckets, sum_value=total_s)
    registry.register(_Collected(stages))
    own: CollectorRegistry = request.app.state.registry
    return Response(generate_latest(registry) + generate_latest(own), media_type=CONTENT_TYPE_LATEST)


class _Collected(Collector):
    """A family of samples that is summed up already."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return [self._family]
