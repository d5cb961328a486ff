"""What the emails cost, against calls and executions that are counted by hand. Runs without any account."""

import itertools
import json
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from secrets import token_hex
from typing import Any

import pytest
from agents import Tool

import db
import worker
from offline.openai_api.server import application
from telemetry import cost, report, routing, rows, usage
from telemetry.current import Run
from telemetry.prices import OPENAI, price_of
from tests.durable.driver import Engine, actions
from tests.serving import listening

PLAIN = "Hello, how long does shipping to Norway take?"
MONEY = "I was charged twice for order A-1001, $49.00 too much."
MODEL = "gpt-5.4-mini"


class Recorded:
    """OpenAI's API, and every request and answer of it."""

    def __init__(self) -> None:
        self.app = application()
        self.asked: list[dict[str, Any]] = []
        self.answered: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, said = bytearray(), bytearray()

        async def receive_and_keep() -> Any:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        async def send_and_keep(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-request-id", f"req_{len(self.asked)}".encode()))
            said.extend(message.get("body", b""))
            await send(message)

        await self.app(scope, receive_and_keep, send_and_keep)
        self.asked.append(json.loads(body))
        self.answered.append(json.loads(said))


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Recorded]:
    """The worker's model is reached over HTTP."""
    recorded = Recorded()
    async with listening(recorded) as address:
        monkeypatch.delenv("MODEL_PROVIDER")
        monkeypatch.setenv("MODEL", MODEL)
        monkeypatch.setenv("OPENAI_API_KEY", "offline")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{address}/v1")
        # The worker keeps its client of OpenAI's API, which knows the address of the test before.
        worker._run_config.cache_clear()
        yield recorded
        worker._run_config.cache_clear()


async def calls() -> list[dict[str, Any]]:
    await rows.here().written()
    return await db.fetch("select * from model_calls order by id")


async def executions() -> dict[str, int]:
    await rows.here().written()
    counted = await db.fetch("select function_id, attempt, count(*) from executions group by 1, 2")
    return {f"{row['function_id']} {row['attempt']}": row["count"] for row in counted}


async def refund_of(customer_id: str, engine: Engine) -> None:
    await engine.email(MONEY, customer_id)
    await engine.until(lambda: db.fetch("select from refunds where customer_id = $1", customer_id), [{}])
    await engine.settle()
    await engine.decide(approved=True, customer_id=customer_id)
    await engine.until(lambda: actions(customer_id), {"message_received": 1, "refund_issued": 1, "message_sent": 1})


async def test_each_call_is_a_row_with_the_tokens_and_ids_of_the_provider(engine: Engine, api: Recorded) -> None:
    """The email waits for a person in between; its calls before and after belong to one event."""
    await refund_of("cust_002", engine)
    kept = await calls()
    said = [answer["usage"] for answer in api.answered]
    assert len(kept) == len(said) >= 3
    assert [(row["input_tokens"], row["output_tokens"]) for row in kept] == [
        (one["input_tokens"], one["output_tokens"]) for one in said
    ]
    assert [row["response_id"] for row in kept] == [answer["id"] for answer in api.answered]
    assert [row["request_id"] for row in kept] == [f"req_{number}" for number in range(len(kept))]
    assert {(row["model"], row["error"]) for row in kept} == {(MODEL, None)}
    assert len({row["event_id"] for row in kept}) == len({row["run_id"] for row in kept}) == 1


async def test_what_varies_comes_last_and_before_it_every_byte_is_the_same(engine: Engine, api: Recorded) -> None:
    """Two customers, each with calls before and after the wait: what is not `input` is one text for all of them."""
    prefixes: set[str] = set()
    for customer_id in ("cust_001", "cust_002"):
        begun = len(api.asked)
        await refund_of(customer_id, engine)
        asked = api.asked[begun:]
        prefixes |= {json.dumps({name: body[name] for name in body if name != "input"}) for body in asked}
        conversations = [body["input"] for body in asked]
        for earlier, later in itertools.pairwise(conversations):
            assert later[: len(earlier)] == earlier
    (prefix,) = prefixes
    assert worker.INSTRUCTIONS.strip() in json.loads(prefix)["instructions"]
    assert [tool["name"] for tool in json.loads(prefix)["tools"]] == ["lookup_customer", "issue_refund"]
    for varying in ("cust_", "@example.com", "A-1001", "2026", "run_id", (await calls())[0]["run_id"]):
        assert varying not in prefix


async def test_a_failed_try_is_paid_and_counted_and_so_is_what_it_made_the_engine_do(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: one call that fails, and two that answer; one run, and one later try of its step."""
    monkeypatch.setenv("MODEL", "rule-based:outage")
    await engine.email(PLAIN)
    await engine.settle()
    monkeypatch.setenv("MODEL", "rule-based")
    await engine.advance(minutes=2)
    assert await actions() == {"message_received": 1, "message_sent": 1}
    kept = await calls()
    assert [row["error"] for row in kept] == ["APIConnectionError", None, None]
    counted = {name: number for name, number in (await executions()).items() if name.startswith("handle")}
    assert counted == {"handle-customer-email 0": 1, "handle-customer-email 1": 1}
    found = await report.read()
    assert (found.total.emails, found.total.calls, found.total.failed) == (1, 3, 1)
    assert found.total.tokens == sum(row["input_tokens"] + row["output_tokens"] for row in kept) > 0


async def test_a_step_that_is_repeated_after_it_was_paid_is_paid_twice_and_its_rows_are_not_doubled(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, tries = worker.answer, 0

    async def dies_once(email: str, ticket: worker.Ticket) -> worker.Outcome:
        nonlocal tries
        outcome = await answer(email, ticket)
        tries += 1
        if tries == 1:
            raise ConnectionError("the process died before the engine had the result")
        return outcome

    monkeypatch.setattr(worker, "answer", dies_once)
    await engine.email(PLAIN)
    await engine.settle()
    await engine.advance(minutes=2)
    assert len(await calls()) == 4
    # A write whose answer was lost is done again.
    run = Run("handle-customer-email", "run-1", "event-1", 0, None)
    for _ in range(2):
        await rows.write([usage.row_of(run, usage.Call(MODEL, OPENAI, 1.0, response_id="resp_1", input_tokens=10))])
    assert len(await calls()) == 5


async def test_the_report_adds_up_and_guesses_no_price(database: None) -> None:
    """Two emails of two models, one of which the price list does not know."""
    written = [
        ("run-1", "mail-1", usage.Call(MODEL, OPENAI, 1.0, None, "a", 2000, 1000, 0, 100, 50)),
        # The same email after a failure: another run.
        ("run-2", "mail-1", usage.Call(MODEL, OPENAI, 1.0, None, "b", 1000, 0, 0, 10, 0)),
        ("run-3", "mail-2", usage.Call("somebodys-own", "http://models.invalid/v1/", 1.0, None, "c", 500, 0, 0, 5, 0)),
    ]
    for run_id, event_id, call in written:
        await rows.write([usage.row_of(Run("handle-customer-email", run_id, event_id, 0, None), call)])
    found = await report.read(7)
    today = found.by_day[-1]
    million = Decimal(1_000_000)
    by_hand = (2000 * Decimal("0.75") + 1000 * Decimal("0.075") + 110 * Decimal("4.5")) / million
    assert (today.emails, today.calls, today.input_tokens, today.output_tokens) == (2, 3, 3500, 115)
    assert (today.cached_percent, today.dollars, today.unpriced_tokens) == (29, by_hand, 505)
    assert [(line.name, line.emails, line.money) for line in found.by_model] == [
        (MODEL, 1, "$0.0021"),
        ("somebodys-own", 1, "no price"),
    ]
    assert [(line.name, line.calls) for line in found.by_email] == [("mail-1", 2), ("mail-2", 1)]
    as_if = await report.read(7, as_model=MODEL)
    assert as_if.total.unpriced_tokens == 0
    assert "somebodys-own" in cost.as_text(found)
    assert "505 tokens is not known" in cost.as_text(found)
    assert price_of(MODEL, "http://models.invalid/v1/", (await calls())[0]["created_at"].date()) is None


async def test_an_email_is_answered_when_its_usage_cannot_be_kept(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    await db.fetch("alter table model_calls rename to elsewhere")
    await db.fetch("alter table executions rename to nowhere")
    try:
        await engine.email(PLAIN)
        await engine.until(actions, {"message_received": 1, "message_sent": 1})
        await rows.here().written()
    finally:
        await db.fetch("alter table elsewhere rename to model_calls")
        await db.fetch("alter table nowhere rename to executions")
    assert "The usage of run" in caplog.text


async def test_a_call_that_cannot_be_stored_costs_no_other_row(
    database: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A provider may say anything of what it used."""
    run = Run("handle-customer-email", "run-1", "event-1", 0, None)
    # A number too low, one that JSON does not know, and an id that is longer than what an index takes.
    said: list[tuple[Any, str]] = [(1, "a"), (-1, "b"), (Decimal(3), "c"), (4, token_hex(9_000)), (2, "d")]
    for tokens, response_id in said:
        call = usage.Call("own\0", None, 1.0, response_id=response_id, input_tokens=tokens)
        rows.here().add(usage.row_of(run, call))
    rows.here().add({"key": "run-1", "function_id": run.function_id, "run_id": run.run_id, "attempt": 0})
    assert await executions() == {"handle-customer-email 0": 1}
    assert [row["input_tokens"] for row in await calls()] == [1, 2]
    assert re.findall(r"run-1 was not kept \((.+?) tokens read", caplog.text) == ["-1", "3", "4"]


async def models_of(text: str, engine: Engine) -> list[str]:
    """The models that an email is answered by, in the order of their calls."""
    begun = len(await calls())
    event_id = await engine.email(text)
    await engine.until(lambda: answered_or_waiting(event_id), True)
    await engine.settle()
    return [row["model"] for row in (await calls())[begun:]]


async def answered_or_waiting(event_id: str) -> bool:
    return bool(
        await db.fetch(
            "select from audit_log where action = 'message_sent' and detail ->> 'event_id' = $1"
            " union all select from refunds where request_id = $1",
            event_id,
        )
    )


EASY, STRONG = "rule-based:asks-again", "rule-based"


@pytest.mark.parametrize(
    ("text", "models"),
    [
        ("hey, forgot my password and the reset mail never shows up :(", [EASY, EASY]),
        (MONEY, [STRONG, STRONG]),
        ("hello " * 200, [STRONG, STRONG]),
        ("Bonjour, puis-je changer l'adresse de livraison ? Merci, à bientôt", [STRONG, STRONG]),
    ],
    ids=["easy", "money", "long", "another language"],
)
async def test_the_easy_model_answers_only_what_is_easy(
    text: str, models: list[str], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_EASY", EASY)
    assert await models_of(text, engine) == models


async def test_no_refund_rests_on_the_easy_model(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It wants to refund everybody; the strong model reads the same email and does not."""
    monkeypatch.setenv("MODEL_EASY", "rule-based:greedy")
    assert await models_of("How do I reset my password?", engine) == ["rule-based:greedy", STRONG, STRONG]
    assert await db.fetch("select from refunds") == []
    monkeypatch.setenv("MODEL_EASY", EASY)
    assert set(await models_of(MONEY, engine)) == {STRONG}
    await engine.decide(approved=True, customer_id="cust_002")
    await engine.until(lambda: db.fetch("select from refunds where status = 'issued'"), [{}])
    await engine.settle()
    assert {row["model"] for row in await calls()} == {"rule-based:greedy", STRONG}


def test_a_conversation_in_which_a_refund_was_asked_for_stays_with_the_strong_model() -> None:
    """Also when it is gone on with hours later, and the email has no word of money."""
    tools: list[Tool] = [worker.lookup_customer, worker.issue_refund]
    email = {"role": "user", "content": "Hello, it happened again."}
    lookup, refund = [{"type": "function_call", "name": tool.name, "arguments": "{}"} for tool in tools]
    assert routing.is_easy([email, lookup], tools)
    assert not routing.is_easy([email, lookup, refund], tools)


async def test_when_the_easy_model_fails_or_doubts_the_strong_one_answers(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for habit in ("outage", "refuses", "promises"):
        monkeypatch.setenv("MODEL_EASY", f"rule-based:{habit}")
        assert await models_of(PLAIN, engine) == [f"rule-based:{habit}", STRONG, STRONG]
