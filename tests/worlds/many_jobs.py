"""A ledger with a long queue."""

from sqlalchemy import text

from service.ledger.database import writing

MANY = 100_000


def many_jobs(engine, state, count=MANY, **columns):
    """Add jobs by one statement."""
    if engine.dialect.name == "sqlite":
        numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < :count) SELECT x FROM n"
    else:
        numbers = "SELECT x FROM generate_series(1, :count) AS g(x)"
    given = {"tenant": "''", "rank": "x % 7", "run_at": "1e9"} | columns
    names = ", ".join(given)
    values = ", ".join(given.values())
    insert = (
        f"INSERT INTO job (id, kind, spec, natural_key, state, max_attempts, created_at, updated_at, state_at, {names})"
        f" SELECT '{state}-' || x, 'probe', '{{}}', '', '{state}', 3, 1e9, 1e9, 1e9, {values} FROM ({numbers}) AS m"
    )
    with writing(engine) as connection:
        connection.execute(text(insert), {"count": count})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT", read_only=True) as connection:
        connection.exec_driver_sql("ANALYZE job")
