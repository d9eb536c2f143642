"""Names of executors: each holds a lock on a file of its name, which the kernel drops when its process ends.

So whoever shares the home knows at once who is dead, and an executor that is started again has the name of the dead
one. A process that only sleeps keeps its name: its leases must run out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

from recon.artifact import write_first
from recon.errors import storage_errors
from service.ledger.leases import Leases


def take_name(home: Path) -> str:
    """Return the first name of this home that no living executor has; it is kept until the process ends."""
    number = 0
    while True:
        name = f"{socket.gethostname()}-{_home_id(home)}-{number}"
        if _lock(home, name) is not None:  # never closed: the end of the process is the end of the name
            return name
        number += 1


def release_dead(home: Path, leases: Leases) -> int:
    """Return the jobs of executors of this home that have died to the queue; return how many."""
    with _dead(home) as names:
        return leases.release(names)


@contextlib.contextmanager
def _dead(home: Path) -> Iterator[list[str]]:
    """Yield the names that nobody has; meanwhile nobody can take one, and with it jobs."""
    locks = {path.stem: _lock(home, path.stem) for path in _folder(home).glob("*.lock")}
    try:
        yield [name for name, lock in locks.items() if lock is not None]
    finally:
        for lock in locks.values():
            if lock is not None:
                os.close(lock)


def _folder(home: Path) -> Path:
    return home / "executors"


def _lock(home: Path, name: str) -> int | None:
    """Return a handle that holds the lock of a name, or None while another process has it."""
    path = _folder(home) / f"{name}.lock"
    with storage_errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise
        return handle


def _home_id(home: Path) -> str:
    """Return what tells this home from others of one ledger: containers may have equal host names."""
    return write_first(_folder(home) / "home_id", uuid.uuid4().hex[:8].encode()).decode()
