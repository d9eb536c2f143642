"""The Ray cluster that this process drives: one of its own, or one that exists; and whether it still lives.

Ray says late or never that it died. `ray.get` waits for ever after the death of the local raylet, and the death of the
GCS ends the driver's process after a minute, without an exception.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from recon.errors import storage_errors
from workers.cluster.session_folder import SessionFolder
from workers.pool import ClusterUnresponsive
from workers.pulse import Silence

OBJECT_STORE_BYTES = 256 << 20  # tasks exchange paths: the default of 30 % of the memory would lie idle
ASK_EVERY_S = 2.0
ANSWER_LIMIT_S = 12.0  # longer than Ray needs on a machine with more work than cores
CONNECT_LIMIT_S = 5.0
DAEMONS = ("gcs_server", "raylet")
AGAIN = "The executor starts again, and the job is tried again."


CLUSTER = "ROADSCRIBE_STAGE_CLUSTER"  # tells a stage's process the address of the cluster that it belongs to


class RayCluster:
    """The connection of this process to a cluster; Ray allows one at a time."""

    def __init__(self, home: Path, *, address: str, num_cpus: int | None, num_gpus: int | None) -> None:
        """Start a cluster (address "") or connect to one; raises StorageError, DiskFull, ClusterUnresponsive."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        self._folder: SessionFolder | None = None
        self._daemons: list[psutil.Process] = []
        self.own = not address
        if self.own:
            with storage_errors(str(home)):
                home.mkdir(parents=True, exist_ok=True)
                _own_token(home)
            self._folder = SessionFolder()
            self._init(
                # "local", since without an address Ray joins whichever cluster this machine runs.
                address="local",
                _temp_dir=str(self._folder.path),
                num_cpus=num_cpus or os.cpu_count(),
                num_gpus=num_gpus,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
            )
            self._daemons = [one for one in psutil.Process().children() if one.name() in DAEMONS]
        else:
            _check_listens(address)
            self._init(address=address)
        self._watch = _Watch(self.ray)
        self._watch.start()

    def _init(self, *, address: str, **options: Any) -> None:
        import ray

        self.ray = ray
        try:
            ray.init(address=address, log_to_driver=True, logging_level=logging.WARNING, **options)
        except (Exception, SystemExit) as error:  # it exits where the GCS does not answer
            self._leave()
            what = f"Ray did not start: {str(error) or type(error).__name__}"
            raise ClusterUnresponsive(what, where=address, hint="Check its address and its token.") from error

    def check(self) -> None:
        """Raise ClusterUnresponsive if the cluster died; ask about once a second."""
        for daemon in self._daemons:
            with contextlib.suppress(psutil.NoSuchProcess):
                if daemon.is_running() and daemon.status() != psutil.STATUS_ZOMBIE:
                    continue
            raise ClusterUnresponsive("a process of the Ray cluster died", hint=AGAIN)
        if self._watch.here_died:
            raise ClusterUnresponsive("the Ray processes of this machine died", hint=AGAIN)
        if self._watch.silence.seconds() > ANSWER_LIMIT_S:
            raise ClusterUnresponsive("the Ray cluster does not answer", hint=AGAIN)

    @property
    def resources(self) -> Mapping[str, float]:
        """What the living machines of the cluster have together: CPU, GPU."""
        return self._watch.resources

    @property
    def most_cpus(self) -> float:
        """The CPUs of its largest living machine: a task that asks for more would wait for ever."""
        return self._watch.most_cpus

    def close(self) -> None:
        """Disconnect, and stop the cluster if this process started it."""
        self._watch.stop()
        self._leave()

    def _leave(self) -> None:
        self.ray.shutdown()
        if self._folder is not None:
            self._folder.remove()


class _Watch(threading.Thread):
    """Asks the cluster for its machines again and again, since the question itself may hang."""

    def __init__(self, ray: Any) -> None:
        super().__init__(daemon=True)
        self._ray, self._here = ray, ray.get_runtime_context().get_node_id()
        self._end = threading.Event()
        self.silence, self.here_died = Silence(), False
        self.resources: dict[str, float] = {}
        self.most_cpus = 0.0
        self._ask()

    def run(self) -> None:
        while not self._end.wait(ASK_EVERY_S):
            with contextlib.suppress(Exception):  # no answer is what `silence` measures
                self._ask()
                self.silence.broken()

    def _ask(self) -> None:
        nodes = self._ray.nodes()
        found: dict[str, float] = {}
        for node in nodes:
            for name, amount in node["Resources"].items() if node["Alive"] else ():
                found[name] = found.get(name, 0.0) + amount
        self.resources = found
        self.most_cpus = max((node["Resources"].get("CPU", 0.0) for node in nodes if node["Alive"]), default=0.0)
        self.here_died = any(node["NodeID"] == self._here and not node["Alive"] for node in nodes)

    def stop(self) -> None:
        self._end.set()
        self.join(ASK_EVERY_S)


@contextlib.contextmanager
def cluster_of(workers: int, home: Path, address: str = "") -> Iterator[None]:
    """Connect to the cluster on which several workers share a stage; no cluster for a single one.

    That is the cluster at `address`, or the one that this process is a stage of, or a new one on this machine, whose
    token lies in `home`. Raises what RayCluster raises.
    """
    if workers < 2:
        yield
        return
    address = address or os.environ.get(CLUSTER, "")
    cpus = None if address else max(workers, os.cpu_count() or 1)
    cluster = RayCluster(home, address=address, num_cpus=cpus, num_gpus=None)
    try:
        yield
    finally:
        cluster.close()


def _check_listens(address: str) -> None:
    """Raise ClusterUnresponsive where nothing listens: Ray would try for two minutes and then end this process."""
    found = address
    if address == "auto":  # as Ray finds it
        folder = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir(), "ray")
        with contextlib.suppress(OSError):
            found = os.environ.get("RAY_ADDRESS") or (folder / "ray_current_cluster").read_text()
    host, _, port = found.strip().rpartition(":")
    if not port.isdigit():
        return  # another form of address: Ray says what it makes of it
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_LIMIT_S).close()
    except OSError as error:
        hint = "Start the cluster, or set ROADSCRIBE_RAY_ADDRESS."
        raise ClusterUnresponsive("no Ray cluster listens there", where=found.strip(), hint=hint) from error


def _own_token(home: Path) -> None:
    """Give Ray a token file that only this user can read: without a token, any process that reaches a port controls it.

    Ray would write one into the home directory, readable by every user.
    """
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        return
    path = home / "ray_token"
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(secrets.token_hex(32))
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)
