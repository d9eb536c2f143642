"""An executor's name is free again the moment its process has died, and not before."""

from __future__ import annotations

import signal
import subprocess
import sys

from service.execution.names import release_dead, take_name
from service.ledger.leases import Leases
from workers.jobs.probe import ProbeJob

HOLD = """
import pathlib, sys, time
from service.execution.names import take_name
print(take_name(pathlib.Path(sys.argv[1])), flush=True)
time.sleep(60)
"""


def start(home):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(home)], stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def end(process):
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_jobs_of_a_killed_process_are_free_and_those_of_a_frozen_one_are_not(tmp_path, engine, submissions):
    submissions.submit(ProbeJob())
    process, name = start(tmp_path)
    other = take_name(tmp_path)
    assert other != name
    claim = Leases(engine, name).claim()
    sweeper = Leases(engine, other)
    process.send_signal(signal.SIGSTOP)
    assert release_dead(tmp_path, sweeper) == 0
    end(process)
    assert release_dead(tmp_path, sweeper) == 1
    again, same = start(tmp_path)
    end(again)
    assert same == name
    assert sweeper.claim().epoch > claim.epoch


def test_homes_of_one_ledger_never_share_a_name(tmp_path):
    assert take_name(tmp_path / "a") != take_name(tmp_path / "b")
