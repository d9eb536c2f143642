#!/usr/bin/env bash
# What: pytest-xdist's --dist loadgroup ignores xdist_group marks under pytest 9.2, and says nothing.
# Version: pytest 9.2.0, pytest-xdist 3.8.0, Python 3.11.
# Expected: tests of one group run on one worker. That is what the mark promises, and what a suite relies on whose
#   tests share one Ray cluster, one browser or one port.
# Happens: the tests of a group spread over both workers. There is no warning and no error; the run passes.
# Follows: module fixtures are built twice, a cluster of half a gigabyte starts twice, and tests that must not meet run
#   at once. It shows as a slow or flaky suite, not as a failure. A suite that needs the promise should test it: let two
#   tests of a group compare PYTEST_XDIST_WORKER.
# Exits 0 while this is so, 1 once it has changed.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3.11 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check pytest==9.2.0 pytest-xdist==3.8.0 2>/dev/null
cd "$work"
cat > test_group.py <<'PY'
import os
import time
from pathlib import Path

import pytest


@pytest.mark.xdist_group("cluster")
@pytest.mark.parametrize("number", range(6))
def test_of_one_group(number):
    time.sleep(0.3)
    with Path("workers.txt").open("a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + "\n")
PY
"$work/env/bin/pip" list --disable-pip-version-check 2>/dev/null | grep -iE "^(pytest|pytest-xdist) "
"$work/env/bin/pytest" -q -n 2 --dist loadgroup test_group.py
workers="$(sort workers.txt | uniq -c | sort -k2)"
echo "tests of the one group by worker:"
echo "$workers"
if [ "$(sort -u workers.txt | wc -l)" -gt 1 ]; then echo "as described"; else echo "changed"; exit 1; fi
