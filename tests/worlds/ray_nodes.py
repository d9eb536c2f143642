"""Clusters that `ray start` runs, as on a machine that uses Ray already; and machines in network namespaces."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

HOST, GUEST = "10.77.31.1", "10.77.31.2"


def free_port() -> int:
    """Return a port of this machine that nothing uses now."""
    with socket.socket() as one:
        one.bind(("", 0))
        return int(one.getsockname()[1])


class RayNodes:
    """The Ray processes of one cluster, with a folder and a token of its own."""

    def __init__(self, *, ip: str = "127.0.0.1", cpus: int = 0) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rn-", dir="/tmp"))  # a short path: it holds sockets
        self.ip, self.port, self.cpus = ip, free_port(), cpus
        token = self.folder / "token"
        token.write_text("1f" * 32)
        self.settings = {"RAY_TMPDIR": str(self.folder), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        self.nodes: list[subprocess.Popen[bytes]] = []
        self.start_head()

    @property
    def address(self) -> str:
        """Where the cluster listens."""
        return f"{self.ip}:{self.port}"

    def start_head(self) -> None:
        """Start the first node and wait until it listens."""
        self._start("--head", f"--port={self.port}", "--include-dashboard=false", cpus=self.cpus, ip=self.ip)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection((self.ip, self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.2)

    def join(self, *, cpus: int, ip: str = "127.0.0.1", inside: Sequence[str] = ()) -> None:
        """Let another node join, its commands wrapped by `inside`."""
        self._start(f"--address={self.address}", cpus=cpus, ip=ip, inside=inside)

    def _start(self, *options: str, cpus: int, ip: str, inside: Sequence[str] = ()) -> None:
        command = [*inside, sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--node-ip-address={ip}"]
        command += [f"--num-cpus={cpus}", "--object-store-memory=100000000", "--disable-usage-stats", *options]
        environment = {**os.environ, **self.settings}
        with (self.folder / "start.log").open("ab") as log:
            node = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        self.nodes.append(node)

    def processes(self, name: str) -> list[psutil.Process]:
        """Return the processes of the cluster with a name, such as raylet."""
        below = [
            p for one in self.nodes if one.poll() is None for p in psutil.Process(one.pid).children(recursive=True)
        ]
        return [p for p in below if p.name() == name]

    def kill(self) -> None:
        """Kill all nodes at once."""
        for one in self.nodes:
            if one.poll() is None:
                for process in psutil.Process(one.pid).children(recursive=True):
                    process.send_signal(signal.SIGKILL)
                one.kill()
                one.wait()
        self.nodes.clear()

    def stop(self) -> None:
        """Kill all nodes and remove their files."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Namespace:
    """A second machine: a network namespace with its own address. Raises OSError without the right to make one."""

    def __init__(self) -> None:
        self.name = f"rn{secrets.token_hex(5)}"
        self.link = f"{self.name}a"
        try:
            self._ip(f"netns add {self.name}")
            self._ip(f"link add {self.link} type veth peer name {self.name}b netns {self.name}")
            self._ip(f"addr add {HOST}/30 dev {self.link}")
            self._ip(f"link set {self.link} up")
            for line in (f"addr add {GUEST}/30 dev {self.name}b", f"link set {self.name}b up", "link set lo up"):
                self._ip(f"-n {self.name} {line}")
        except OSError:
            self.remove()
            raise

    def _ip(self, line: str) -> None:
        done = subprocess.run(["ip", *line.split()], check=False, capture_output=True, text=True)
        if done.returncode:
            raise OSError(done.stderr)

    def inside(self, *, hidden: Path | None = None) -> list[str]:
        """Return the words before a command that runs there, with a folder that it does not see."""
        words = ["ip", "netns", "exec", self.name]
        if hidden is not None:
            words += ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs tmpfs {hidden} && exec "$@"', "sh"]
        return words

    def remove(self) -> None:
        """Remove it and its link, which would live, with its address, as long as a dying process of this machine."""
        subprocess.run(["ip", "link", "del", self.link], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)
