from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci/mutants.py"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_wrong_constant_of_tracing_fails_a_test():
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_mutant_of_an_unknown_setting_is_refused():
    command = [sys.executable, SCRIPT, "--run", "vectorize.trace_config", "StyleConfig.no_such", "1", "--", "tests"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "StyleConfig has no setting no_such" in done.stderr
