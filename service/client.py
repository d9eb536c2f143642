"""A client of the service. Requests are repeated when an answer is lost: every submission has an idempotency key."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from recon.errors import ArtifactInvalid, InfrastructureError, RoadscribeError, storage_errors

RETRY_S = (0.2, 0.5, 1.0, 2.0, 4.0)
CHUNK = 1 << 20


class ServiceUnreachable(InfrastructureError):
    """The service does not answer."""

    code = "SERVICE_UNREACHABLE"


class ServiceRefused(RoadscribeError):
    """The service refused the request."""

    code = "SERVICE_REFUSED"

    @classmethod
    def of(cls, problem: dict[str, Any]) -> Self:
        """Return the error of a problem document."""
        faults = [f"{e['pointer']}: {e['detail']}" for e in problem.get("errors", [])]
        message = "; ".join(faults) or str(problem.get("detail", "refused"))
        return cls(message, where=str(problem.get("code", "")), hint=str(problem.get("hint", "")))


class Client:
    """Talks to one service. Use as a context manager."""

    def __init__(self, url: str, *, api_key: str = "", retries: tuple[float, ...] = RETRY_S) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        timeout = httpx.Timeout(10.0, read=90.0)
        # The service is addressed directly: a proxy of the environment would not reach this machine's ports.
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)
        self._url, self._retries = url, retries

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def submit(self, spec: dict[str, Any], *, key: str = "", dedupe: bool = False) -> dict[str, Any]:
        """Submit a job and return it; the answer may be lost and the request repeated without a second job."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        response = self._request("POST", "/v1/jobs", json=spec, headers=headers, params={"dedupe": str(dedupe).lower()})
        return self._object(response)

    def job(self, job_id: str, *, wait_s: float = 0.0) -> dict[str, Any]:
        """Return a job; with `wait_s` not before it ended or so much time passed."""
        return self._object(self._request("GET", f"/v1/jobs/{quote(job_id, safe='')}", params={"wait": wait_s}))

    def jobs(
        self, *, state: str = "", limit: int = 50, cursor: int | None = None, ids: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Return one page of jobs, or of those of `ids`, at most 100."""
        params: dict[str, Any] = {"state": state, "limit": limit} | ({"cursor": cursor} if cursor else {})
        params |= {"id": list(ids)} if ids else {}
        return self._object(self._request("GET", "/v1/jobs", params=params))

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Ask for the end of a job and return it."""
        return self._object(self._request("POST", f"/v1/jobs/{quote(job_id, safe='')}/cancel"))

    def retry(self, job_id: str) -> dict[str, Any]:
        """Submit a job that failed or was cancelled again, and return the new job; repeated, it is the same one."""
        return self._object(self._request("POST", f"/v1/jobs/{quote(job_id, safe='')}/retry"))

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended, with its events; ServiceRefused for another."""
        self._request("DELETE", f"/v1/jobs/{quote(job_id, safe='')}")

    def set_priority(self, job_id: str, priority: int) -> dict[str, Any]:
        """Change the priority of a job that no executor has taken, and return it; ServiceRefused for another."""
        path = f"/v1/jobs/{quote(job_id, safe='')}"
        return self._object(self._request("PATCH", path, json={"priority": priority}))

    def ready(self) -> bool:
        """Return whether the service would run a job now."""
        try:
            return self._http.get("/readyz", timeout=5.0).status_code == 200
        except httpx.TransportError:
            return False

    def events(self, job_id: str, *, after: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (type, data) of a job's events to its end, over lost connections without gap or repetition."""
        failures = 0
        path = f"/v1/jobs/{quote(job_id, safe='')}/events"
        while True:
            headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
            ended = False
            try:
                with self._http.stream("GET", path, headers=headers) as response:
                    self._check(response)
                    for number, kind, data in _parse_stream(response.iter_lines()):
                        failures = 0
                        after = number or after
                        ended = ended or kind in ("job.succeeded", "job.failed", "job.cancelled")
                        yield kind, data
            except httpx.TransportError as error:
                if failures >= len(self._retries):
                    raise self._unreachable(error) from error
            if ended:
                return
            time.sleep(self._retries[min(failures, len(self._retries) - 1)] if self._retries else 0.0)
            failures += 1

    def artifacts(self, job_id: str) -> list[dict[str, Any]]:
        """Return the published files of a job."""
        body = self._object(self._request("GET", f"/v1/jobs/{quote(job_id, safe='')}/artifacts"))
        entries: list[dict[str, Any]] = body["artifacts"]
        return entries

    def datasets(self) -> list[dict[str, Any]]:
        """Return the newest snapshot of every dataset, by name."""
        entries: list[dict[str, Any]] = self._object(self._request("GET", "/v1/datasets"))["datasets"]
        return entries

    def snapshots(self, dataset: str) -> list[dict[str, Any]]:
        """Return the snapshots of a dataset, newest first; ServiceRefused if there is none."""
        path = f"/v1/datasets/{quote(dataset, safe='')}/snapshots"
        entries: list[dict[str, Any]] = self._object(self._request("GET", path))["snapshots"]
        return entries

    def snapshot(self, dataset: str, number: int = 0) -> dict[str, Any]:
        """Return a snapshot by its number, 0 = the newest one; ServiceRefused if it does not exist."""
        if not number:
            return self.snapshots(dataset)[0]
        return self._object(self._request("GET", f"/v1/datasets/{quote(dataset, safe='')}/snapshots/{number}"))

    def create_webhook(self, url: str, events: Sequence[str] = ()) -> dict[str, Any]:
        """Register an address for the ends of jobs and return the webhook with its `secret`, which is not shown again.

        `events` are some of job.succeeded, job.failed and job.cancelled; none = all. The request is not repeated: when
        its answer is lost, so is the secret, and a webhook that `webhooks` lists with this URL is best deleted.
        """
        body = {"url": url} | ({"events": list(events)} if events else {})
        return self._object(self._request("POST", "/v1/webhooks", repeat=False, json=body))

    def webhooks(self) -> list[dict[str, Any]]:
        """Return the webhooks, oldest first."""
        entries: list[dict[str, Any]] = self._object(self._request("GET", "/v1/webhooks"))["webhooks"]
        return entries

    def delete_webhook(self, webhook_id: str) -> None:
        """Forget a webhook and what waits to be sent to it."""
        self._request("DELETE", f"/v1/webhooks/{quote(webhook_id, safe='')}")

    def enable_webhook(self, webhook_id: str) -> dict[str, Any]:
        """Send again to a webhook that was disabled after failures, and return it."""
        return self._object(self._request("POST", f"/v1/webhooks/{quote(webhook_id, safe='')}/enable"))

    def ping_webhook(self, webhook_id: str) -> dict[str, Any]:
        """Send a message that only tests the way, and return its delivery."""
        return self._object(self._request("POST", f"/v1/webhooks/{quote(webhook_id, safe='')}/ping"))

    def deliveries(
        self, webhook_id: str, *, state: str = "", limit: int = 50, cursor: int | None = None
    ) -> dict[str, Any]:
        """Return one page of what was or will be sent to a webhook, newest first."""
        params: dict[str, Any] = {"state": state, "limit": limit} | ({"cursor": cursor} if cursor else {})
        path = f"/v1/webhooks/{quote(webhook_id, safe='')}/deliveries"
        return self._object(self._request("GET", path, params=params))

    def redeliver(self, webhook_id: str, delivery_id: str) -> dict[str, Any]:
        """Send a message again and return its delivery."""
        path = f"/v1/webhooks/{quote(webhook_id, safe='')}/deliveries/{quote(delivery_id, safe='')}/redeliver"
        return self._object(self._request("POST", path))

    def download(self, entry: dict[str, Any], target: Path, report: Callable[[int], None] = lambda done: None) -> None:
        """Fetch a file, continue after a lost connection, verify its sha256, and only then put it into place."""
        part = part_of(target)
        with storage_errors(str(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            for attempt in range(len(self._retries) + 1):
                try:
                    self._fetch(entry, part, report)
                    break
                except httpx.TransportError as error:
                    if attempt == len(self._retries):
                        raise self._unreachable(error) from error
                    time.sleep(self._retries[attempt])
            with part.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found != entry["sha256"]:
                part.unlink()
                hint = "Fetch it again; if it stays so, the store of the service is damaged."
                raise ArtifactInvalid("a fetched file is damaged", where=entry["path"], hint=hint)
            part.replace(target)

    def _fetch(self, entry: dict[str, Any], part: Path, report: Callable[[int], None]) -> None:
        done = part.stat().st_size if part.exists() else 0
        if done == entry["size_bytes"] and done:
            return
        headers = {"Range": f"bytes={done}-", "If-Range": f'"{entry["sha256"]}"'} if done else {}
        with self._http.stream("GET", entry["url"], headers=headers) as response:
            self._check(response)
            with part.open("ab" if response.status_code == 206 else "wb") as out:
                for data in response.iter_bytes(CHUNK):
                    out.write(data)
                    report(out.tell())

    def _request(self, method: str, path: str, *, repeat: bool = True, **options: Any) -> httpx.Response:
        for number, pause_s in enumerate((*self._retries, None) if repeat else (None,)):
            try:
                response = self._http.request(method, path, **options)
                if number and method == "DELETE" and response.status_code == 404:
                    return response  # a round before deleted it, and its answer was lost
                if response.status_code != 503 or pause_s is None:
                    return self._check(response)
            except httpx.TransportError as error:
                if pause_s is None:
                    raise self._unreachable(error) from error
            assert pause_s is not None
            time.sleep(pause_s)
        raise AssertionError("the last round returns or raises")

    def _check(self, response: httpx.Response) -> httpx.Response:
        if response.is_success:
            return response
        response.read()
        try:
            problem = response.json()
        except ValueError:
            problem = {"detail": f"HTTP {response.status_code}"}
        raise ServiceRefused.of(problem if isinstance(problem, dict) else {})

    def _object(self, response: httpx.Response) -> dict[str, Any]:
        body: dict[str, Any] = response.json()
        return body

    def _unreachable(self, error: httpx.TransportError) -> ServiceUnreachable:
        hint = "Start one with roadscribe serve, or name another with --url or ROADSCRIBE_URL."
        return ServiceUnreachable(f"no service answers ({type(error).__name__})", where=self._url, hint=hint)


def part_of(target: Path) -> Path:
    """Return where the bytes of a download wait until all of them are there."""
    return target.with_name(f".{target.name}.part")


def _parse_stream(lines: Iterator[str]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield (number or 0, type, data) of server-sent events."""
    number, kind, data = 0, "message", ""
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                body = json.loads(data)
                yield number, kind, body["data"] if number else body
            number, kind, data = 0, "message", ""
        elif name == "id":
            number = int(value)
        elif name == "event":
            kind = value
        elif name == "data":
            data += value
