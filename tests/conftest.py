"""How tests are dealt out to workers (`pytest -n 2`): a file stays whole, and every test on Ray shares one cluster.

What the tests of a file share (a drive, compiled kernels) is made once. `--dist loadgroup` would do the same by
marks, but pytest-xdist 3.8.0 ignores them under pytest 9.2 and reports nothing (pytest-xdist issue 1386).
"""

import pytest


def group_of(nodeid: str) -> str:
    """Return what a test is dealt out with."""
    if nodeid.endswith("[ray]"):
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
