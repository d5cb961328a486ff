"""With ENCRYPTION_KEY the engine stores neither an email nor a step's output that it could read.

Runs without any account; what the engine stores is read from the stand-in's memory.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import httpx
import inngest
import pytest

import db
import inngest_app
import settings
from steps import encryption
from tests.durable.driver import Engine, actions, refunds_in_ledger
from tests.ledger import decide

ROOT = Path(__file__).parents[2]
DOUBLE = "I was charged twice for order A-1001. Please return the $49.00 to me. Codeword: marmalade."
ISSUED = {"message_received": 1, "refund_issued": 1, "message_sent": 1}
KEY = "correct-horse-battery-staple"


def encrypt_with(monkeypatch: pytest.MonkeyPatch, *keys: str) -> None:
    """What setting ENCRYPTION_KEY and starting the app again would do."""
    monkeypatch.setenv("ENCRYPTION_KEY", " ".join(keys))
    monkeypatch.setattr(inngest_app.client, "middleware", encryption.encryption())


async def paused(engine: Engine) -> str:
    event_id = await engine.email(DOUBLE)
    await engine.until(refunds_in_ledger, [("pending", None)])
    await engine.settle()
    return event_id


async def approved(engine: Engine, event_id: str) -> None:
    assert await decide(1, approved=True, by="ada") is None
    await engine.decide(request_id=event_id)
    await engine.settle()


async def reply() -> str:
    [row] = await db.fetch("select detail::jsonb ->> 'reply' as reply from audit_log where action = 'message_sent'")
    return str(row["reply"])


@pytest.mark.parametrize("encrypted", [True, False])
async def test_the_engine_keeps_neither_the_email_nor_the_reply_nor_the_customer_in_its_steps(
    encrypted: bool, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the key all of it is there: the control of this test."""
    encrypt_with(monkeypatch, *([KEY] if encrypted else []))
    await approved(engine, await paused(engine))
    await engine.until(actions, ISSUED)
    await engine.settle()
    kept, answer = engine.stored(), json.dumps(await reply())[1:-1]
    private = ["marmalade", answer, "grace@example.com", "Duplicate charge", "A-1001", "4900", "cust_002"]
    assert {text: text in kept for text in private} == dict.fromkeys(private, not encrypted)
    assert ("__ENCRYPTED__" in kept) is encrypted


async def test_a_run_that_began_before_the_key_was_set_goes_on(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    event_id = await paused(engine)
    encrypt_with(monkeypatch, KEY)
    await approved(engine, event_id)
    await engine.until(actions, ISSUED)


@pytest.mark.parametrize("keys", [(), ("another-key",)], ids=["removed", "changed"])
async def test_a_key_that_is_lost_while_a_run_waits_costs_the_reply_and_no_money(
    keys: tuple[str, ...], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can read what was saved: the run fails, its refund is closed and a person finds the email."""
    encrypt_with(monkeypatch, KEY)
    event_id = await paused(engine)
    encrypt_with(monkeypatch, *keys)
    await approved(engine, event_id)
    await engine.advance(hours=6)
    assert await actions() == {"message_received": 1, "refund_blocked": 1, "run_failed": 1}
    assert await refunds_in_ledger() == [("blocked", "approved")]
    [failed] = await db.fetch("select detail from audit_log where action = 'run_failed'")
    assert "marmalade" in failed["detail"]


async def test_a_new_key_reads_what_the_one_before_it_has_encrypted(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    encrypt_with(monkeypatch, "k1")
    event_id = await paused(engine)
    encrypt_with(monkeypatch, "k2", "k1")
    await approved(engine, event_id)
    await engine.until(actions, ISSUED)
    assert await refunds_in_ledger() == [("issued", "approved")]


# The email in the event


def holds(engine: Engine, *texts: str) -> dict[str, bool]:
    """Which of these the engine has, in an event or anywhere else."""
    events = [asdict(event) for event in engine.dev_server.state.events.values()]
    kept = json.dumps(events, default=str) + engine.stored()
    return {text: text in kept for text in texts}


@pytest.mark.parametrize("door", ["webhook", "sender"])
@pytest.mark.parametrize("encrypted", [True, False])
async def test_the_engine_never_reads_an_email_that_came_by_a_door_or_by_a_sender_with_the_key(
    encrypted: bool, door: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    encrypt_with(monkeypatch, *([KEY] if encrypted else []))
    email = {"from": "grace@example.com", "subject": "A codeword", "text": DOUBLE, "message_id": "m-1"}
    if door == "webhook":
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.post(f"{engine.app_url}/webhooks/email", json=email)).status_code == 200
    else:
        sender = inngest.Inngest(app_id="sender", is_production=False, middleware=encryption.encryption())
        data = {"customer_id": "cust_002", "email_text": DOUBLE, "from": "grace@example.com"}
        await sender.send(inngest.Event(name="customer/email.received", data=data))
    await engine.until(refunds_in_ledger, [("pending", None)])
    await engine.settle()
    [received] = await db.fetch("select detail from audit_log where action = 'message_received'")
    await approved(engine, json.loads(received["detail"])["event_id"])
    await engine.until(actions, ISSUED)
    assert holds(engine, "marmalade", "grace@example.com") == dict.fromkeys(
        ["marmalade", "grace@example.com"], not encrypted
    )
    assert {name: json.loads(received["detail"])[name] for name in ("email_text", "from")} == {
        "email_text": DOUBLE,
        "from": "grace@example.com",
    }


@pytest.mark.parametrize("keys", [("k1",), ("k2",)], ids=["kept", "lost"])
async def test_the_failure_of_an_encrypted_email_leaves_its_row(
    keys: tuple[str, ...], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the key a person reads the email there; without it that something came, and why nobody can read it."""
    encrypt_with(monkeypatch, "k1")
    sealed = inngest.Event(name="customer/email.received", data={"customer_id": "cust_002", "email_text": DOUBLE})
    await inngest_app.client.send(sealed)
    encrypt_with(monkeypatch, *keys)
    monkeypatch.setenv("MODEL", "rule-based:server-error")
    await engine.settle()
    await engine.advance(hours=6)
    assert (await actions())["run_failed"] == 1
    [failed] = await db.fetch("select detail from audit_log where action = 'run_failed'")
    assert json.loads(failed["detail"])["email_text"] == (DOUBLE if keys == ("k1",) else encryption.UNREADABLE)
    assert not any(holds(engine, "marmalade").values())


async def test_a_function_that_is_invoked_by_hand_runs(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    encrypt_with(monkeypatch, KEY)
    await engine.invoke("customer-support-daily-health-check")
    await engine.until(actions, {"health_check": 3})


async def test_a_step_that_fails_says_nothing_of_the_email(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    encrypt_with(monkeypatch, KEY)
    monkeypatch.setenv("MODEL", "rule-based:server-error")
    await engine.email(DOUBLE)
    await engine.settle()
    await engine.advance(hours=6)
    assert await actions() == {"message_received": 1, "run_failed": 1}
    assert "marmalade" not in engine.stored()


def test_the_app_encrypts_when_the_variable_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCRYPTION_KEY", "")
    assert settings.encryption_keys() == []
    # This process was started without a key.
    without = len(inngest_app.client.middleware)
    program = "import inngest_app; print(len(inngest_app.client.middleware))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"ENCRYPTION_KEY": KEY},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert int(done.stdout) == without + 1
