"""Many jobs through one service: a bounded number at once, each submitted once however often the batch is run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from service.client import Client, ServiceRefused

ENDED = ("succeeded", "failed", "cancelled")
POLL_S = 1.0
MOST_IDS = 100  # of one list
PAUSE_S = 2.0  # after a refusal of more requests, or of more open jobs

T = TypeVar("T")
Job = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A job to be: `key` is the same whenever the same work is meant."""

    name: str
    spec: Mapping[str, Any]
    key: str
    title: str = ""  # how people are told of it, if not by its name


class Standing(Protocol):
    """Takes how a batch stands."""

    def __call__(self, *, done: int, total: int, failed: int, running: int, failure: str) -> None:
        """Take the counts, and what failed now."""


def settle(
    client: Client,
    orders: Sequence[Order],
    *,
    at_once: int,
    standing: Standing,
    known: Mapping[str, str] | None = None,
    again: bool = False,
) -> dict[str, Job]:
    """Return the ended job of every order by name, in the order given.

    At most `at_once` jobs are open. A job that the service refused has the state "refused" and no id. `known` holds ids
    of jobs by key, which take the place of those that the service has under the keys. Of the jobs that had ended
    before, those that a machine failed or somebody cancelled are retried, and with `again` all that failed.
    """
    waiting, running, ended, failures = deque(orders), dict[str, str](), dict[str, Job](), dict[str, str]()

    titles = {order.name: order.title or order.name for order in orders}

    def take(name: str, job: Job) -> None:
        failure = "" if job["state"] == "succeeded" else f"{titles[name]}: {_reason(job)}"
        failures[name] = failure
        ended[name] = job
        failed = sum(map(bool, failures.values()))
        standing(done=len(ended), total=len(orders), failed=failed, running=len(running), failure=failure)

    while waiting or running:
        while waiting and len(running) < at_once:
            job = _submitted(client, waiting[0], (known or {}).get(waiting[0].key, ""), again)
            if job is None and running:
                break  # the quota of the tenant: some must end first
            if job is None:
                time.sleep(PAUSE_S)
                continue
            name = waiting.popleft().name
            if job["state"] in (*ENDED, "refused"):
                take(name, job)
            else:
                running[job["id"]] = name
        for job in _ended(client, list(running)):
            take(running.pop(job["id"]), job)
        if running:
            time.sleep(POLL_S)
    return {order.name: ended[order.name] for order in orders}


def _submitted(client: Client, order: Order, known: str, again: bool) -> Job | None:
    """Return the job of an order, or None if the tenant may have no more at the moment."""
    try:
        job = (patiently(lambda: _existing(client, known)) if known else None) or patiently(
            lambda: client.submit(dict(order.spec), key=order.key)
        )
        failure = job["failure"] or {}
        if job["state"] == "cancelled" or (job["state"] == "failed" and (again or failure.get("retryable"))):
            job = patiently(lambda: client.retry(job["id"]))
    except ServiceRefused as error:
        if error.where == "QUOTA_EXCEEDED":
            return None
        failure = {"code": error.where, "message": error.message, "where": "", "hint": error.hint}
        return {"id": "", "state": "refused", "failure": failure, "report": None}
    return job


def _reason(job: Job) -> str:
    failure = job["failure"] or {"code": job["state"], "message": "somebody cancelled the job"}
    return f"{failure['code']}: {failure['message']}"


def _existing(client: Client, job_id: str) -> Job | None:
    try:
        return client.job(job_id)
    except ServiceRefused as error:
        if error.where == "JOB_UNKNOWN":
            return None
        raise


def _ended(client: Client, ids: Sequence[str]) -> list[Job]:
    """Return those of the jobs that have ended."""
    states: dict[str, str] = {}
    for start in range(0, len(ids), MOST_IDS):
        some = ids[start : start + MOST_IDS]
        page = patiently(partial(client.jobs, ids=some, limit=MOST_IDS))
        states |= {job["id"]: job["state"] for job in page["jobs"]}
    return [patiently(partial(client.job, one)) for one in ids if states.get(one, ENDED[0]) in ENDED]


def patiently(call: Callable[[], T]) -> T:
    """Return what a request returns, after pauses if the service takes no more of them at the moment."""
    while True:
        try:
            return call()
        except ServiceRefused as error:
            if error.where != "RATE_LIMITED":
                raise
        time.sleep(PAUSE_S)
