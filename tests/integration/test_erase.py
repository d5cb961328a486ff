"""What is personal of a customer can be erased, and nothing else; the ledger can still be proven afterwards."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import db
from people import erase
from refunds import ledger
from steps import failures, retention
from tests.ledger import decide, rewrite
from web import Event
from web.desk import person
from web.webhooks import inbox

pytestmark = pytest.mark.usefixtures("database")
ROOT = Path(__file__).parents[2]
ADDRESS = "ada@example.com"
# Each text of Ada's and about her has a word of its own.
PRIVATE = [ADDRESS, "Lovelace", "marmalade", "tangerine", "quince", "medlar", "damson", "rhubarb", "loganberry", "sloe"]
EMAIL = "I am Ada Lovelace. Order A-1001 was charged twice. Codeword marmalade."


async def everything() -> dict[str, list[str]]:
    """Each row of each table, as text."""
    tables = await db.fetch(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname !~ '^(pg_|information_)'"
    )
    names = [row["name"] for row in tables]
    rows = {name: await db.fetch(f"select to_jsonb(one)::text as row from {name} as one") for name in names}  # noqa: S608
    return {name: [row["row"] for row in found] for name, found in rows.items()}


async def found(words: list[str]) -> set[str]:
    """Which of these words stand in any column of any table."""
    text = "\n".join(row for rows in (await everything()).values() for row in rows).lower()
    return {word for word in words if word.lower() in text}


async def refund(run_id: str, *, approved: bool, note: str = "", reason: str = "tangerine") -> dict[str, Any]:
    asked = {"call_id": "call", "order_id": "A-1001", "amount_cents": 4900, "reason": reason}
    await ledger.open_requests(run_id, f"<{run_id}-loganberry@example.com>", "cust_001", [asked])
    [row] = await ledger.of_run(run_id)
    with pytest.MonkeyPatch.context() as patched:
        if approved:
            patched.setenv("SECOND_APPROVER_CENTS", "4900")
            assert await decide(row["id"], approved=True, by="hopper", note="sloe") is None
        assert await decide(row["id"], approved=approved, by="grace", note=note, also_paid=True) is None
    return row


async def a_customers_story() -> None:
    """An email that was answered, one that failed, one from her address that was no email of hers; and others'."""
    data = {"customer_id": "cust_001", "email_text": EMAIL, "from": f"Ada Lovelace <{ADDRESS}>", "subject": "quince"}
    event = Event(id="email-1", name="customer/email.received", data=data)
    assert await inbox.keep(event, 10) is not None
    received = {name: data[name] for name in ("email_text", "from", "subject")}
    await db.record("message_received", "run-1", "audit-received", "cust_001", event_id="email-1", **received)
    await refund("run-1", approved=True, note="medlar")
    await db.fetch("update refunds set payment_started_at = now() where run_id = 'run-1'")
    await db.fetch("update refunds set status = 'issued', settled_at = now(), outcome = 're_1' where run_id = 'run-1'")
    await db.record(
        "refund_issued", "run-1", "issue", "cust_001", amount_cents=4900, reason="tangerine", reference="re_1"
    )
    await db.record("message_sent", "run-1", "audit-sent", "cust_001", reply="Dear Ada Lovelace", event_id="email-1")
    event_id = "<2-loganberry@example.com>"
    await db.record("message_received", "run-2", "audit-received", "cust_001", event_id=event_id, email_text="damson")
    await db.fetch(
        "insert into model_calls (key, run_id, event_id, model, input_tokens, cached_tokens, written_tokens,"
        " output_tokens, reasoning_tokens, seconds) values ('run-2:1', 'run-2', $1, 'gpt', 9, 0, 0, 9, 0, 1)",
        event_id,
    )
    await refund("run-2", approved=False, note="no: rhubarb")
    await failures.hand_over("run-2", event_id, {"customer_id": "cust_001", "email_text": "damson"}, "marmalade")
    await db.record("run_failed", "email-3", "audit-unmatched", None, sender=f"A. Lovelace <{ADDRESS.upper()}>")
    for entry in await db.fetch("select audit_id from needs_person order by 1"):
        assert await person.done(entry["audit_id"], "grace", {"note": "I called Lovelace."})
    await db.record("message_received", "run-9", "audit-received", "cust_002", email_text="Grace's own words")


async def test_after_an_erasure_nothing_personal_is_left_and_the_ledger_can_still_be_proven() -> None:
    await a_customers_story()
    queries = (
        "select id, customer_id, order_id, amount_cents, digest, status, decision, approved_cents, decided_by"
        " from refunds order by id",
        "select refund_id, event, actor, at from refund_history order by id",
        "select id, key, action, customer_id, run_id, created_at from audit_log where action <> 'data_erased'"
        " order by id",
    )
    before = [await db.fetch(query) for query in queries]
    assert await found(PRIVATE) == set(PRIVATE)
    counts = await erase.customer("cust_001", "hopper")
    assert await found(PRIVATE) == set()
    assert [await db.fetch(query) for query in queries] == before
    kept = ["re_1", "4900 of 4900 cents: (erased)", "Grace's own words"]
    assert await found(kept) == set(kept)
    assert counts == {
        "notes of colleagues": 2,
        "senders in the inbox": 1,
        "lines of the refunds' history": 6,
        "notes of first approvals": 1,
        "refunds": 2,
        "calls to models": 1,
        "rows of the audit trail": 7,
        "addresses": 1,
        "rows of tables that were adopted": 0,
    }
    [row] = await db.fetch("select customer_id, detail from audit_log where action = 'data_erased'")
    assert (row["customer_id"], json.loads(row["detail"])) == ("cust_001", {"by": "hopper"})
    [issued] = await db.fetch("select detail from audit_log where action = 'refund_issued'")
    assert json.loads(issued["detail"]) == {"erased": True, "amount_cents": 4900, "reference": "re_1"}
    # Delivered again, the email is still known; and a second erasure finds nothing more.
    assert await inbox.keep(Event(id="email-1", name="customer/email.received", data={"from": ADDRESS}), 10) is None
    assert set((await erase.customer("cust_001", "hopper")).values()) <= {0, 1}


async def test_what_has_not_ended_keeps_an_erasure_from_being_made() -> None:
    event = Event(id="email-1", name="customer/email.received", data={"customer_id": "cust_001", "email_text": "Hi"})
    await inbox.keep(event, 10)
    await db.record("message_received", "run-2", "audit-received", "cust_001", email_text="Hi")
    await refund("run-2", approved=True)
    await db.record("run_failed", "email-3", "audit-unmatched", None, sender=ADDRESS)
    expected = (
        "Not yet: refunds are not settled (1), emails are being answered (1), emails wait in the inbox (1),"
        " entries of 'Needs a person' are open (1). See to them at the desk, then run this again."
    )
    before = await everything()
    with pytest.raises(erase.CannotEraseError) as refused:
        await erase.customer("cust_001", "hopper")
    assert str(refused.value) == expected
    assert await everything() == before


@pytest.mark.parametrize(
    "statement",
    [
        "delete from audit_log",
        "truncate audit_log",
        "update audit_log set customer_id = 'cust_002'",
        "update audit_log set detail = '{}'",
        "update audit_log set detail = '{\"erased\": true}'",
    ],
)
async def test_the_trail_is_only_added_to_and_the_refusal_says_what_to_do(statement: str) -> None:
    await db.record("message_sent", "run", "step", "cust_001", reply="Hello")
    with pytest.raises(asyncpg.CheckViolationError, match=r"only added to. To erase .* people.erase .* python db.py"):
        await db.fetch(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "delete from audit_log",
        "update audit_log set customer_id = 'cust_002'",
        'update audit_log set detail = \'{"erased": true, "reply": "Goodbye"}\'',
        "update audit_log set detail = detail - 'reply'",
        "update refunds set reason = '(erased)', amount_cents = 1",
        "update refunds set reason = 'another'",
        "update refunds set reason = '(erased)', outcome = 're_2' where status = 'issued'",
        "update refund_history set actor = 'mallory'",
        "update needs_person set done_by = 'mallory'",
    ],
)
async def test_an_erasure_can_only_take_away(statement: str) -> None:
    await a_customers_story()

    async def work(connection: db.Connection) -> None:
        await db.record_in(connection, "data_erased", "run", "erase", "cust_001")
        await connection.execute(statement)

    with pytest.raises(asyncpg.CheckViolationError):
        await db.transaction(work)


async def test_old_texts_are_erased_when_they_have_ended_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    await a_customers_story()
    await db.record("run_failed", "email-4", "audit-unmatched", None, sender="eve", email_text="Still open.")
    await rewrite("update audit_log set created_at = now() - interval '31 days' where run_id <> 'run-2' returning 1")
    await rewrite("update refunds set settled_at = now() - interval '31 days' where run_id <> 'run-2' returning 1")
    assert await retention.erase_some() is False
    assert await found(PRIVATE) == set(PRIVATE)
    monkeypatch.setenv("RETENTION_DAYS", "30")
    monkeypatch.setattr(erase, "MOST_AT_ONCE", 3)
    for more in (True, False, False):
        assert await retention.erase_some() is more
    left = {"damson", "rhubarb", "Lovelace", "marmalade", "tangerine", "loganberry", ADDRESS}
    assert await found([*PRIVATE, "Still open.", "Grace's own words"]) == left | {"Still open.", "Grace's own words"}
    rows = await db.fetch("select detail from audit_log where action = 'data_erased'")
    assert [json.loads(row["detail"])["rows"] for row in rows] == [4, 1]


async def test_the_command_says_what_it_erased_and_what_remains() -> None:
    command = [sys.executable, "-m", "people.erase"]

    def run(customer_id: str) -> tuple[int, str]:
        done = subprocess.run(
            [*command, customer_id], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
        )
        return done.returncode, done.stdout + done.stderr

    assert run("cust_404") == (1, "CannotEraseError: There is no customer 'cust_404'.\n")
    code, said = run("cust_001")
    assert code == 0
    assert said.startswith("Erased: addresses (1).\nWhat remains: ")
