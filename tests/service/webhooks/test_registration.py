"""Registrations whose names take long to resolve: few threads wait, and only for tenants that may register."""

import asyncio
import socket
import threading

import httpx
import pytest

from service.api import RESOLVERS, create_app
from service.ledger.outbox.webhooks import MOST_OF_A_TENANT
from service.settings import Settings

POOL = 40  # threads that all requests share
LIMIT_S = 20


@pytest.fixture
def silent(monkeypatch):
    """Return a resolver that answers once it is told to, and what it was asked for."""
    end, asked, genuine = threading.Event(), [], socket.getaddrinfo

    def wait(host, *rest, **options):
        if not str(host).endswith("silent.example"):
            return genuine(host, *rest, **options)
        asked.append(host)
        end.wait(2 * LIMIT_S)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr("socket.getaddrinfo", wait)
    yield end, asked
    end.set()


def run(app, scenario):
    """Run a coroutine with a client of the app."""

    async def inside():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await scenario(http)

    return asyncio.run(inside())


def test_names_that_take_long_to_resolve_leave_the_threads_of_requests_free(tmp_path, silent):
    end, asked = silent

    async def scenario(http):
        posts = [
            asyncio.create_task(http.post("/v1/webhooks", json={"url": f"https://{n}.silent.example/"}))
            for n in range(POOL + 5)
        ]
        try:
            while len(asked) < RESOLVERS:
                await asyncio.sleep(0.01)
            for _ in range(3):
                listed = await asyncio.wait_for(http.get("/v1/webhooks"), LIMIT_S)
            return listed.json(), len(asked)
        finally:
            end.set()
            answers = await asyncio.gather(*posts)
            statuses = [answer.status_code for answer in answers]
            assert statuses.count(201) == MOST_OF_A_TENANT
            assert set(statuses) == {201, 409}

    assert run(create_app(Settings(home=tmp_path)), scenario) == ({"webhooks": []}, RESOLVERS)


def test_no_name_is_resolved_for_who_may_not_register(tmp_path, silent):
    end, asked = silent
    end.set()

    async def scenario(http):
        def post(number):
            return http.post("/v1/webhooks", json={"url": f"https://{number}.silent.example/"})

        for number in range(MOST_OF_A_TENANT):
            assert (await post(number)).status_code == 201
        return [(await post(number)).json()["code"] for number in (0, MOST_OF_A_TENANT)]

    codes = run(create_app(Settings(home=tmp_path)), scenario)
    assert codes == ["WEBHOOK_EXISTS", "WEBHOOK_LIMIT"]
    assert len(asked) == MOST_OF_A_TENANT
