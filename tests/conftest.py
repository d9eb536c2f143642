"""How tests are dealt out to workers (`pytest -n 2`): a file stays whole, and every test on Ray shares one cluster.

What the tests of a file share (a drive, compiled kernels) is made once. `--dist loadgroup` would do the same by
marks, but pytest-xdist 3.8.0 ignores them under pytest 9.2 and reports nothing (pytest-xdist issue 1386).
"""

import os
import sys
from collections.abc import Iterator

import pytest

from workers.pool import Pool


@pytest.fixture(scope="session")
def ray_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """One cluster for all tests of a process: Ray reads the token of the first, and offers it to every later one."""
    from workers.cluster.ray_pool import RayPool

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # its workers build the tasks of tests
        # Ray takes our word for the GPU: enough to see who asks for it.
        pool = RayPool(tmp_path_factory.mktemp("ray"), num_cpus=2, num_gpus=1)
        yield pool
        pool.close()
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        os.environ.pop(name, None)


def group_of(nodeid: str) -> str:
    """Return what a test is dealt out with."""
    if "[ray" in nodeid or "/test_distributed.py" in nodeid:
        return "ray"
    if nodeid.startswith("tests/recon/demo_city/"):  # else both workers compile the city's kernels, half a minute each
        return "demo_city"
    return nodeid.split("::", 1)[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Groups(config, log)
