"""The API process: build the application from settings. Never imports torch, Ray, or a stage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import Any

import structlog
from anyio import CapacityLimiter
from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from recon.errors import StorageError
from service import logs, problems
from service.ledger.api_keys import ApiKeys
from service.ledger.batches import Batches
from service.ledger.database import migrate, open_database
from service.ledger.datasets import Datasets
from service.ledger.leases import Leases
from service.ledger.listing import Listing
from service.ledger.outbox.deliveries import Deliveries
from service.ledger.outbox.webhooks import Webhooks
from service.ledger.submissions import Submissions
from service.routes import audit, datasets, history, jobs, published_files, reference, status, submissions, webhooks
from service.settings import Settings, load_settings
from service.storage.audit import Audit
from service.storage.removal import Removals
from service.stored_files import StoredFiles
from service.web import openapi
from service.web.access import Access, operator_of
from service.web.hosts import KnownHosts
from service.web.limits import Slots
from service.web.requests import Requests, request_seconds
from service.webhooks.addresses import AddressGuard
from service.webhooks.dispatcher import Dispatcher
from service.webhooks.post import Poster
from service.webhooks.signature import SigningKey

SWEEP_EVERY_S = 5.0
RESOLVERS = 4  # names resolved at once: a resolver may be silent for long, and must not take the threads of requests


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the application; reads the environment when no settings are given. Brings the ledger up to date."""
    settings = settings or load_settings()
    settings.check_exposure()
    engine = open_database(settings.url)
    migrate(engine, settings.home)
    app = FastAPI(
        title="Roadscribe",
        version=version("roadscribe"),
        summary="Drives in, vector-map pseudo labels out.",
        docs_url=None,  # FastAPI's page loads its scripts from another host: see routes.reference
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,  # names that links and clients can use
        lifespan=_sweeping(Leases(engine, "api", **settings.time_limits())),
    )
    app.state.settings, app.state.registry = settings, CollectorRegistry()
    app.state.access = Access(settings.api_key.get_secret_value(), ApiKeys(engine))
    app.state.streams = Slots(settings.max_streams)
    app.state.listing = Listing(engine)
    app.state.submissions = Submissions(engine, max_attempts=settings.max_attempts)
    app.state.batches = Batches(engine, app.state.submissions)
    app.state.stored_files = StoredFiles(settings.home, app.state.submissions, settings.publish_url)
    app.state.datasets, app.state.audit = Datasets(engine), Audit(engine)
    app.state.removals = Removals(engine, retain_days=settings.retain_days)
    _add_webhooks(app, engine, settings)
    problems.install(app)
    openapi.install(app)
    guard = [Depends(operator_of)]
    for module in (submissions, jobs, history, published_files, datasets, webhooks, audit):
        app.include_router(module.router)
    app.include_router(status.router)
    app.include_router(reference.router)
    app.include_router(status.guarded, dependencies=guard)
    if not settings.api_key.get_secret_value():
        app.add_middleware(KnownHosts)
    app.add_middleware(Requests, seconds=request_seconds(app.state.registry), access_log=settings.access_log)
    return app


def _add_webhooks(app: FastAPI, engine: Engine, settings: Settings) -> None:
    key = SigningKey.of(settings.home, settings.webhook_key.get_secret_value())
    app.state.guard, app.state.signing_key = AddressGuard(settings.allowed_networks), key
    app.state.resolvers = CapacityLimiter(RESOLVERS)
    app.state.webhooks = Webhooks(engine, key.id)
    app.state.deliveries = Deliveries(engine, key.id, first_pause_s=settings.webhook_retry_s)


def _dispatcher(state: Any) -> Dispatcher:
    """Return the sender of what is due; it says so when there are webhooks that it cannot sign for."""
    strange = state.webhooks.with_another_key()
    if strange:
        structlog.get_logger().warning("webhooks.other_key", count=strange)
    agent = f"Roadscribe/{version('roadscribe')}"
    return Dispatcher(state.deliveries, state.signing_key, Poster(state.guard), agent=agent)


def _sweeping(leases: Leases) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return a lifespan that ends and deletes jobs whose time is over, and sends to webhooks."""

    async def sweep(removals: Removals) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            try:
                await run_in_threadpool(leases.sweep)
                await run_in_threadpool(removals.sweep)
            except StorageError:
                continue  # the next round may find the ledger again
            except Exception:
                structlog.get_logger().exception("sweep.bug")  # and on: without an executor nothing else sweeps

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        logs.configure()  # whatever server runs the app
        dispatcher, task = _dispatcher(app.state), asyncio.create_task(sweep(app.state.removals))
        dispatcher.start()
        yield
        dispatcher.stop()
        task.cancel()

    return lifespan
