import pytest

from service.ledger.database import migrate, open_database
from service.ledger.leases import Leases
from service.ledger.submissions import Submissions


@pytest.fixture
def engine(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path / 'ledger.sqlite3'}")
    migrate(engine, tmp_path)
    yield engine
    engine.dispose()


@pytest.fixture
def submissions(engine):
    return Submissions(engine)


@pytest.fixture
def leases(engine):
    leases = Leases(engine, "one")
    leases.beat()
    return leases
