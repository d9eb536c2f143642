from collections.abc import Iterator

import pytest

from workers.local_pool import LocalPool
from workers.pool import Pool
from workers.store import Store


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store", min_free_bytes=1)


@pytest.fixture(params=["local", pytest.param("ray", marks=(pytest.mark.ray, pytest.mark.slow))])
def pool(request) -> Iterator[Pool]:
    """Both pools must pass the same tests."""
    if request.param == "ray":
        yield request.getfixturevalue("ray_pool")
    else:
        pool = LocalPool()
        yield pool
        pool.close()
