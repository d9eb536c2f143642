"""The service with its Ray executor: beside other clusters, on them, and after the death of one."""

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from itertools import count

import psutil
import pytest
from ray_nodes import GUEST, HOST, Namespace, RayNodes

from service.client import Client

pytestmark = [pytest.mark.ray, pytest.mark.slow]
NOTICED_S = 20.0  # the executor gives up a dead cluster


@pytest.fixture
def served(tmp_path, start_service):
    """Start services that are stopped at the end; returns one with its client."""
    with ExitStack() as stack:
        homes = (tmp_path / str(number) for number in count())

        def start(**settings):
            service = start_service(next(homes), executor="ray", **settings)
            stack.callback(stopped, service)
            return service, stack.enter_context(Client(service.url))

        yield start


def stopped(service):
    assert service.stop() == 0


@pytest.fixture
def nodes(request):
    """A cluster that `ray start` made; its head takes no tasks."""
    cluster = RayNodes(ip=getattr(request, "param", "127.0.0.1"))
    yield cluster
    cluster.stop()


def until(what, limit_s, every_s=0.1):
    started = time.monotonic()
    while not what():
        assert time.monotonic() - started < limit_s
        time.sleep(every_s)
    return time.monotonic() - started


def running(client, body, seconds):
    """Submit a job and return its id once its first stage runs."""
    job = client.submit(body(seconds=seconds))["id"]
    until(lambda: (client.job(job)["progress"] or {}).get("done", 0) > 0, 90)
    return job


def daemon(service, name):
    (found,) = [p for p in psutil.Process(service.process.pid).children(recursive=True) if p.name() == name]
    return found


def test_a_machine_that_runs_ray_already_gets_a_cluster_of_its_own(served, body, nodes):
    """Ray joins a running cluster by itself: by RAY_ADDRESS, or by the file that `ray start` leaves."""
    until(lambda: list(nodes.folder.glob("**/ray_current_cluster")), 60)
    _, client = served(RAY_TMPDIR=str(nodes.folder))
    _, other = served(RAY_ADDRESS=nodes.address)
    for one in (client, other):
        until(one.ready, 90)
        job = one.job(one.submit(body())["id"], wait_s=60)
        assert job["state"] == "succeeded", job["failure"]  # the other cluster has no CPU to run it
    assert len(nodes.processes("raylet")) == 1


@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_a_cluster_that_died_is_replaced_and_the_job_goes_on(served, body, tmp_path, name):
    service, client = served(ROADSCRIBE_MAX_ATTEMPTS="1")
    job = running(client, body, 3.0)
    assert oct((tmp_path / "0" / "ray_token").stat().st_mode)[-3:] == "600"
    executor = service.executor()
    daemon(service, name).kill()
    assert until(lambda: not executor.is_running() or executor.status() == psutil.STATUS_ZOMBIE, NOTICED_S) < NOTICED_S
    done = client.job(job, wait_s=60)
    assert done["state"] == "succeeded", done["failure"]


def test_the_death_of_an_idle_cluster_is_noticed(served):
    service, client = served()
    until(client.ready, 90)
    executor = service.executor()
    daemon(service, "gcs_server").kill()
    until(lambda: not executor.is_running() or executor.status() == psutil.STATUS_ZOMBIE, NOTICED_S)


def test_a_cluster_that_comes_back_is_joined_again(served, body, nodes):
    nodes.join(cpus=2)
    service, client = served(ROADSCRIBE_RAY_ADDRESS=nodes.address, ROADSCRIBE_MAX_ATTEMPTS="1", **nodes.settings)
    job = running(client, body, 3.0)
    executor = service.executor()
    nodes.kill()
    until(lambda: not executor.is_running() or executor.status() == psutil.STATUS_ZOMBIE, NOTICED_S)
    nodes.start_head()
    nodes.join(cpus=2)
    done = client.job(job, wait_s=60)
    assert done["state"] == "succeeded", done["failure"]


@pytest.fixture
def machine():
    try:
        machine = Namespace()
    except OSError as error:
        pytest.skip(f"needs the right to make a network namespace: {error}")
    yield machine
    machine.remove()


@pytest.mark.parametrize("nodes", [HOST], indirect=True)
@pytest.mark.parametrize("shared", [True, False])
def test_stages_run_on_a_second_machine_that_shares_the_store(machine, nodes, served, body, tmp_path, shared):
    nodes.join(cpus=2, ip=GUEST, inside=machine.inside(hidden=None if shared else tmp_path))
    _, client = served(ROADSCRIBE_RAY_ADDRESS=nodes.address, **nodes.settings)
    job = client.job(client.submit(body())["id"], wait_s=60)
    if shared:
        assert job["state"] == "succeeded", job["failure"]  # the head has no CPU to run it
    else:
        assert (job["state"], job["failure"]["code"]) == ("failed", "CONFIG_INVALID")
        assert "does not share the store" in job["failure"]["message"]
        assert job["failure"]["hint"]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"RAY_TMPDIR": "/proc/none"}, "[/proc/none]"),
        ({"ROADSCRIBE_RAY_ADDRESS": "127.0.0.1:9"}, "no Ray cluster listens there [127.0.0.1:9]"),
    ],
)
def test_an_executor_without_a_cluster_says_why_at_once(tmp_path, settings, reason):
    environment = {**os.environ, "ROADSCRIBE_HOME": str(tmp_path), **settings}
    command = [sys.executable, "-m", "service.executor"]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 70
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
