import os
from collections.abc import Iterator

import pytest

from workers.local_pool import LocalPool
from workers.pool import Pool
from workers.store import Store


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store", min_free_bytes=1)


@pytest.fixture(scope="session")
def ray_pool(tmp_path_factory) -> Iterator[Pool]:
    from workers.ray_pool import RayPool

    # Ray takes our word for the GPU: enough to see who asks for it.
    pool = RayPool(tmp_path_factory.mktemp("ray"), num_cpus=2, num_gpus=1)
    yield pool
    pool.close()
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        os.environ.pop(name, None)


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.ray)])
def pool(request) -> Iterator[Pool]:
    """Both pools must pass the same tests."""
    if request.param == "ray":
        yield request.getfixturevalue("ray_pool")
    else:
        pool = LocalPool()
        yield pool
        pool.close()
