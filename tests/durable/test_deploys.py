"""A run that waits for its approval while the code under it changes: it goes on rightly, or a person takes over.

Never lost, never paid by guess. What an older version saved is put into the engine as that version would have done it,
as the result of the step. Runs without any account.
"""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import agents
import pytest
from agents import run_state
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import db
import worker
from refunds import ledger, replies
from steps import approval, failures
from tests.durable.driver import Engine, actions, refunds_in_ledger
from tests.durable.saved_states.record import CURRENT, FOLDER
from tests.ledger import decide, forget_everything

DOUBLE = "I was charged twice for order A-1001. Please return the $49.00 to me."
ISSUED = {"message_received": 1, "refund_issued": 1, "message_sent": 1}
BLOCKED = {"message_received": 1, "refund_blocked": 1, "message_sent": 1}
GONE = object()


async def paused(engine: Engine) -> str:
    """An email whose run waits at the gate; its event id."""
    event_id = await engine.email(DOUBLE)
    await engine.until(refunds_in_ledger, [("pending", None)])
    await engine.settle()
    return event_id


async def approved(engine: Engine, event_id: str) -> None:
    assert await decide(1, approved=True, by="ada") is None
    await engine.decide(request_id=event_id)
    await engine.until(messages_sent, 1)


async def messages_sent() -> int:
    return (await actions()).get("message_sent", 0)


async def reply() -> str:
    rows = await db.fetch("select detail::jsonb ->> 'reply' as reply from audit_log where action = 'message_sent'")
    return str(rows[0]["reply"])


async def it_went_on() -> None:
    """Paid once, and the customer knows."""
    assert await actions() == ISSUED
    assert await refunds_in_ledger() == [("issued", "approved")]
    assert "refunded $49.00 for order A-1001" in await reply()


def follow_up(what: str) -> str:
    return f"{worker.FOLLOW_UP}\n\n{replies.HEADING}\n- {what}: refund of $49.00 for order A-1001."


async def a_person_takes_over() -> None:
    """No money, a row that says why, and a reply that promises nothing but a person."""
    assert await actions() == BLOCKED
    assert await refunds_in_ledger() == [("blocked", "approved")]
    [row] = await db.fetch("select * from refunds")
    assert row["payment_started_at"] is None
    assert row["outcome"] == "the run was saved by another version and could not be resumed"
    assert await reply() == follow_up("Not made")


def changed(state: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of the state with one thing in it replaced, or removed."""
    copied = copy.deepcopy(state)
    if not path:
        return value
    parent = copied
    for name in path[:-1]:
        parent = parent[name]
    if value is GONE:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return copied


@pytest.fixture
def saved_as(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], Any]], None]:
    """Saves what the agent came to as another version would have: changed by a function."""
    original = worker.answer

    def save(change: Callable[[Any], Any]) -> None:
        async def answer(email: str, ticket: worker.Ticket) -> worker.Outcome:
            outcome = await original(email, ticket)
            outcome["state"] = change(outcome["state"])
            return outcome

        monkeypatch.setattr(worker, "answer", answer)

    return save


# The state


async def test_without_a_deploy_it_goes_on(engine: Engine) -> None:
    await approved(engine, await paused(engine))
    await it_went_on()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("$schemaVersion",), "99.0"),
        (("$schemaVersion",), "2"),
        (("$schemaVersion",), 1.21),
        (("$schemaVersion",), None),
        (("$schemaVersion",), GONE),
        (("current_agent",), GONE),
        (("current_agent", "name"), "customer-care"),
        (("original_input",), GONE),
        (("original_input",), None),
        (("context",), GONE),
        (("model_responses",), GONE),
        (("generated_items",), None),
        (("last_processed_response",), GONE),
        (("current_step",), GONE),
        (("current_step",), "waiting"),
        (("current_step", "data", "interruptions"), []),
        (("current_step", "data", "interruptions", 0, "raw_item", "call_id"), GONE),
        (("current_step", "data", "interruptions", 0, "raw_item", "arguments"), "{"),
        (("current_turn",), "second"),
        ((), {}),
        ((), None),
        ((), {"version": 7, "messages": ["another framework's"]}),
    ],
    ids=lambda value: "gone" if value is GONE else ".".join(map(str, value)) if type(value) is tuple else str(value),
)
async def test_a_state_that_this_version_cannot_read_is_handed_to_a_person(
    path: tuple[Any, ...], value: Any, engine: Engine, saved_as: Callable[[Callable[[Any], Any]], None]
) -> None:
    saved_as(lambda state: changed(state, path, value))
    await approved(engine, await paused(engine))
    await engine.settle()
    if path == ("current_turn",):
        # Noticed after the approved call was carried out: the money is the approver's, the reply is a person's.
        assert await actions() == ISSUED
        assert await reply() == follow_up("Made")
    else:
        await a_person_takes_over()


@pytest.mark.parametrize("decision", ["rejected", "expired"])
async def test_an_unreadable_state_of_a_refund_that_was_not_approved_is_a_person_too(
    decision: str, engine: Engine, saved_as: Callable[[Callable[[Any], Any]], None]
) -> None:
    saved_as(lambda state: {"$schemaVersion": "99.0"})
    event_id = await paused(engine)
    if decision == "rejected":
        await engine.decide(approved=False, request_id=event_id)
    else:
        await engine.advance(hours=4, minutes=1)
    await engine.until(messages_sent, 1)
    assert await actions() == BLOCKED
    assert await refunds_in_ledger() == [("blocked", decision)]
    assert await reply() == follow_up("Declined, not made" if decision == "rejected" else "Not made")


@pytest.mark.parametrize("version", sorted(run_state.SUPPORTED_SCHEMA_VERSIONS))
async def test_a_state_marked_with_any_version_the_sdk_knows_goes_on_or_is_a_persons(
    version: str, engine: Engine, saved_as: Callable[[Callable[[Any], Any]], None]
) -> None:
    saved_as(lambda state: changed(state, ("$schemaVersion",), version))
    await approved(engine, await paused(engine))
    await (it_went_on() if (await refunds_in_ledger())[0][0] == "issued" else a_person_takes_over())


# The agent


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replaces parts of the agent by those of another version."""
    original = worker.build_agent

    def deploy(**parts: Any) -> None:
        monkeypatch.setattr(worker, "build_agent", lambda: original().clone(**parts))

    return deploy


def renamed(tool: Any, **fields: Any) -> Any:
    """The tool under another name or with another schema."""
    other = copy.copy(tool)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


async def test_a_renamed_tool_is_handed_to_a_person(engine: Engine, deployed: Callable[..., None]) -> None:
    event_id = await paused(engine)
    deployed(tools=[worker.lookup_customer, renamed(worker.issue_refund, name="refund_order")])
    await approved(engine, event_id)
    await a_person_takes_over()


async def test_a_removed_tool_is_handed_to_a_person(engine: Engine, deployed: Callable[..., None]) -> None:
    event_id = await paused(engine)
    deployed(tools=[worker.lookup_customer])
    await approved(engine, event_id)
    await a_person_takes_over()


async def test_a_tool_with_other_arguments_is_handed_to_a_person(engine: Engine, deployed: Callable[..., None]) -> None:
    """The call that was approved cannot be made as it was asked for."""

    @agents.function_tool(name_override="issue_refund", needs_approval=True, failure_error_function=None)
    async def issue_refund(order: str, cents: int) -> str:
        """Refund."""
        raise AssertionError("called")

    event_id = await paused(engine)
    deployed(tools=[worker.lookup_customer, issue_refund])
    await approved(engine, event_id)
    await a_person_takes_over()


async def test_a_renamed_agent_is_handed_to_a_person(engine: Engine, deployed: Callable[..., None]) -> None:
    event_id = await paused(engine)
    deployed(name="customer-care")
    await approved(engine, event_id)
    await a_person_takes_over()


@agents.function_tool
async def opening_hours() -> str:
    """When the shop is open."""
    return "Always."


@pytest.mark.parametrize(
    "parts",
    [
        {"instructions": "Answer in one sentence."},
        {"tools": [opening_hours, worker.lookup_customer, worker.issue_refund]},
        {"tools": [worker.issue_refund, worker.lookup_customer]},
        {"tools": [worker.issue_refund]},
        {"tools": [renamed(worker.lookup_customer, name="customer"), worker.issue_refund]},
        {"tools": [worker.lookup_customer, renamed(worker.issue_refund, description="Pay back.")]},
        {"model_settings": agents.ModelSettings(temperature=0)},
    ],
    ids=[
        "instructions",
        "tool added",
        "order of tools",
        "other tool removed",
        "other tool renamed",
        "described anew",
        "settings",
    ],
)
async def test_a_change_that_leaves_the_approved_call_as_it_was_goes_on(
    parts: dict[str, Any], engine: Engine, deployed: Callable[..., None]
) -> None:
    event_id = await paused(engine)
    deployed(**parts)
    await approved(engine, event_id)
    await it_went_on()


async def test_a_version_that_forgot_to_ask_for_approval_still_pays_nothing_that_was_rejected(
    engine: Engine, deployed: Callable[..., None]
) -> None:
    event_id = await paused(engine)
    deployed(tools=[worker.lookup_customer, renamed(worker.issue_refund, needs_approval=False)])
    await engine.decide(approved=False, request_id=event_id)
    await engine.until(actions, BLOCKED)
    assert await refunds_in_ledger() == [("blocked", "rejected")]


# What earlier versions saved


def read(file: Path) -> dict[str, Any]:
    """A recorded outcome."""
    outcome: dict[str, Any] = json.loads(file.read_text())
    return outcome


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.json")), ids=lambda file: file.stem)
async def test_a_recorded_state_goes_on_or_is_a_persons_and_that_of_this_version_goes_on(
    file: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def recorded(*_: object) -> Any:
        return read(file)

    monkeypatch.setattr(worker, "answer", recorded)
    await approved(engine, await paused(engine))
    if file == CURRENT or (await refunds_in_ledger())[0][0] == "issued":
        await it_went_on()
    else:
        await a_person_takes_over()


def test_the_state_of_this_version_is_recorded() -> None:
    assert CURRENT.exists(), "run `python -m tests.durable.saved_states.record` and keep the older files"


# Any damage


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a JSON value."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield (*place, name)
        yield from places(item, (*place, name))


RECORDED = read(CURRENT)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.sampled_from(list(places(RECORDED["state"]))),
    value=st.sampled_from([GONE, None, "x", 7, -1, True, [], {}, [None], "{}", "issue_refund"]),
    yes=st.booleans(),
)
@example(place=("current_turn",), value=None, yes=True)
@example(place=("conversation_id",), value=7, yes=True)
@example(place=("max_turns",), value=[], yes=True)
async def test_whatever_is_wrong_with_a_state_money_moves_only_as_approved(
    place: tuple[Any, ...], value: Any, yes: bool, database: None
) -> None:
    """Without an engine: the step itself, on a state with one thing in it changed."""
    await forget_everything()
    ticket = worker.Ticket(customer_id="cust_002", run_id="run-1")
    await approval.notify_reviewer(ticket, "event-1", RECORDED["asked"], 0)
    assert await decide(1, approved=yes, by="ada") is None
    verdict = await approval.read_decisions("run-1", RECORDED["asked"], None, False)
    arguments = (changed(RECORDED["state"], place, value), ticket, verdict["decisions"])
    try:
        outcome = await approval.resume_agent(*arguments)
    except Exception as error:
        # The run fails, which leaves its own row; a refund that was not carried out is closed by it.
        await failures.audit_run_failed({"run_id": "run-1", "event": {"data": {}}, "error": {"message": str(error)}})
    else:
        # A state that was made to ask for something else asks a person anew; for what was decided it never asks again.
        assert outcome["reply"] or outcome["asked"]
        assert not {refund["call_id"] for refund in outcome["asked"]} & verdict["decisions"].keys()
    [row] = await ledger.of_run("run-1")
    assert row["status"] in ({"issued", "blocked"} if yes else {"blocked"})
    issued = await db.fetch(
        "select detail::jsonb ->> 'order_id' as order_id, detail::jsonb ->> 'amount_cents' as cents"
        " from audit_log where action = 'refund_issued'"
    )
    assert issued == ([{"order_id": "A-1001", "cents": "4900"}] if row["status"] == "issued" else [])
    assert len(await db.fetch("select from audit_log where action in ('refund_issued', 'refund_blocked')")) >= 1
