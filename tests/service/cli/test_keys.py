import json

import pytest
from typer.testing import CliRunner

from service.cli.app import app
from service.ledger.api_keys import ApiKeys
from service.ledger.database import open_database


@pytest.fixture
def keys(tmp_path):
    def run(*words, status=0):
        done = CliRunner().invoke(app, ["keys", *words, "--home", str(tmp_path), "--json"])
        assert done.exit_code == status, done.output
        return json.loads(done.stdout) if status == 0 else None

    return run


def test_a_key_is_shown_once_listed_and_revoked(keys, tmp_path):
    made = keys("create", "acme", "--days", "90", "--rate", "5")["key"]
    (listed,) = keys("list")
    assert (listed["tenant"], listed["scopes"], listed["requests_per_s"]) == ("acme", ["read", "submit"], 5.0)
    assert made.split("_")[2] not in json.dumps(listed)
    ledger = ApiKeys(open_database(f"sqlite:///{tmp_path / 'ledger.sqlite3'}"))
    assert ledger.find(made).tenant == "acme"
    keys("revoke", listed["id"])
    assert ledger.find(made) is None
    keys("revoke", listed["id"], status=1)


def test_a_wrong_tenant_or_scope_is_refused(tmp_path):
    for words in (["create", "../x"], ["create", "acme", "--scope", "all"]):
        done = CliRunner().invoke(app, ["keys", *words, "--home", str(tmp_path)])
        assert done.exit_code != 0
