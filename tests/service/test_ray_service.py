"""The service with its Ray executor: a job runs, and Ray's own death costs an attempt, not the service."""

import time

import psutil
import pytest

from service.client import Client


@pytest.mark.ray
@pytest.mark.slow
def test_a_dead_raylet_is_replaced(tmp_path, start_service, body):
    service = start_service(tmp_path, executor="ray", ROADSCRIBE_MAX_ATTEMPTS="5")
    try:
        with Client(service.url) as client:
            first = client.job(client.submit(body())["id"], wait_s=60)
            assert first["state"] == "succeeded"
            assert oct((tmp_path / "ray_token").stat().st_mode)[-3:] == "600"
            raylets = [p for p in psutil.Process(service.process.pid).children(recursive=True) if p.name() == "raylet"]
            assert len(raylets) == 1
            raylets[0].kill()
            started = time.monotonic()
            job = client.job(client.submit(body())["id"], wait_s=60)
            assert job["state"] == "succeeded", job["failure"]
            assert time.monotonic() - started < 60
    finally:
        assert service.stop() == 0
