"""A server that speaks S3 on loopback (moto), in an environment of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from other_python import ORACLES


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the URL of an empty bucket, its endpoint and credentials in the environment; skip without a server."""
    python = os.environ.get("ROADSCRIBE_MOTO_PYTHON", "")
    if not python and (ORACLES / "moto" / "ready").exists():
        python = str(ORACLES / "moto" / "bin" / "python")
    if not python:
        pytest.skip("moto is not installed (make oracles, or set ROADSCRIBE_MOTO_PYTHON to a Python that has it)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([python, "-c", code], **quiet)
    endpoint = f"http://127.0.0.1:{port}"
    try:
        _create(f"{endpoint}/published")
        settings = {"ENDPOINT_URL": endpoint, "ALLOW_HTTP": "true", "REGION": "us-east-1"}
        for name, value in {**settings, "ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        yield "s3://published/service"
    finally:
        server.terminate()
        server.wait()


def _create(bucket: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(bucket, method="PUT"), timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
