"""Submissions stored together: the same rows and answers as one by one, each once, and none lost with another."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from service.ledger.batches import MOST, Batches, Plain
from service.ledger.database import reading, writing
from service.ledger.submissions import KeyReused, new_id
from workers.jobs.label import LabelJob
from workers.jobs.probe import ProbeConfig, ProbeJob

OWN = ("id", "seq", "job_id", "at", "created_at", "updated_at", "run_at", "state_at")  # what no two jobs share


def probe():
    return ProbeJob(probe=ProbeConfig(salt=new_id()))


@pytest.fixture
def batches(engine, submissions):
    return Batches(engine, submissions)


def at_once(batches, *plains):
    """Submit on one event loop at the same moment."""

    async def all_of_them():
        return await asyncio.gather(*map(batches.submit, plains), return_exceptions=True)

    return asyncio.run(all_of_them())


def rows(engine, table):
    with reading(engine) as connection:
        found = connection.execute(text(f"SELECT * FROM {table} ORDER BY created_at")).mappings().all()
    return [{name: value for name, value in row.items() if name not in OWN} for row in found]


def test_a_batch_stores_and_answers_what_a_single_submission_does(engine, submissions, batches):
    spec = LabelJob(drive="/data/a")
    (alone,) = [submissions.submit(spec, key="alone", tenant="t", priority=3)]
    (together,) = at_once(batches, Plain(spec=spec, key="together", tenant="t", priority=3))
    assert together.existed is alone.existed is False
    assert {k: v for k, v in together.job.items() if k not in OWN} == {
        k: v for k, v in alone.job.items() if k not in OWN
    }
    assert together.job == submissions.get(together.job["id"])
    one, other = rows(engine, "job")
    assert one == other
    one, other = ({**row, "key": ""} for row in rows(engine, "idempotency"))
    assert one == other
    events = [submissions.events(given.job["id"]) for given in (alone, together)]
    assert [[(e["seq"], e["type"], e["data"]) for e in of] for of in events] == [[(1, "job.queued", {})]] * 2
    assert events[1][0]["at"] == together.job["created_at"]


def test_many_at_once_are_stored_in_few_transactions_each_once(engine, submissions, batches):
    began = []
    store = batches.store
    batches.store = lambda batch: began.append(len(batch)) or store(batch)
    answers = at_once(batches, *(Plain(spec=probe(), key=str(n)) for n in range(2 * MOST)))
    assert len({answer.job["id"] for answer in answers}) == 2 * MOST == len(rows(engine, "job"))
    assert sum(began) == 2 * MOST
    assert len(began) <= 3
    assert all(submissions.get(answer.job["id"]) == answer.job for answer in answers)


def test_repeated_keys_find_their_job_within_a_batch_and_before(batches, submissions):
    spec, other = probe(), probe()
    old = submissions.submit(spec, key="old").job
    answers = at_once(
        batches,
        Plain(spec=spec, key="old"),
        Plain(spec=other, key="old"),
        Plain(spec=spec, key="twice"),
        Plain(spec=spec, key="twice"),
        Plain(spec=spec, key="old", tenant="b"),
        Plain(spec=spec),
        Plain(spec=spec),
    )
    assert answers[0].job == old
    assert answers[0].existed
    assert isinstance(answers[1], KeyReused)
    assert answers[2].job["id"] == answers[3].job["id"]
    assert not answers[2].existed
    assert answers[3].existed
    ids = {answer.job["id"] for n, answer in enumerate(answers) if n in (0, 2, 4, 5, 6)}
    assert len(ids) == 5


def test_two_processes_that_store_the_same_keys_agree(engine, submissions):
    from concurrent.futures import ThreadPoolExecutor

    specs = [probe() for _ in range(40)]
    plains = [Plain(spec=spec, key=str(n)) for n, spec in enumerate(specs)]
    orders = [plains, plains[::-1], plains[20:] + plains[:20]]
    with ThreadPoolExecutor(3) as pool:
        stored = list(pool.map(lambda order: Batches(engine, submissions).store(order), orders))
    ids = [
        {p.key: answer.job["id"] for p, answer in zip(o, s, strict=True)} for o, s in zip(orders, stored, strict=True)
    ]
    assert ids[0] == ids[1] == ids[2]
    assert len(rows(engine, "job")) == 40


def test_a_ledger_that_does_not_answer_is_told_to_everybody_and_the_next_batch_goes_on(engine, batches):
    with writing(engine) as connection:
        connection.execute(text("ALTER TABLE event RENAME TO away"))
    answers = at_once(batches, *(Plain(spec=probe(), key=str(n)) for n in range(3)))
    assert all(isinstance(answer, Exception) for answer in answers)
    assert rows(engine, "job") == []
    with writing(engine) as connection:
        connection.execute(text("ALTER TABLE away RENAME TO event"))
    answers = at_once(batches, *(Plain(spec=probe(), key=str(n)) for n in range(3)))
    assert [answer.job["state"] for answer in answers] == ["queued"] * 3


def test_without_a_thread_those_who_wait_learn_it_and_the_next_batch_goes_on(batches, no_new_threads):
    async def twice():
        with no_new_threads():
            plains = [Plain(spec=probe()) for _ in range(3)]
            refused = await asyncio.wait_for(asyncio.gather(*map(batches.submit, plains), return_exceptions=True), 20)
        return refused, await asyncio.wait_for(batches.submit(Plain(spec=probe())), 20)

    refused, stored = asyncio.run(twice())
    assert [type(answer) for answer in refused] == [RuntimeError] * 3
    assert stored.job["state"] == "queued"
