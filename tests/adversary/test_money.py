"""Whatever the model, the email, the approver and the provider do: no cent without a yes, no order twice.

The real functions, in this process, on the stand-in engine, with a Postgres and no network. After every example the
invariants are read from the database.
"""

import json
import logging
from typing import Any, cast

import pytest
from hypothesis import event, given, seed
from hypothesis import strategies as st

import inngest_app
import worker
from refunds import providers
from steps import saved_state
from tests.adversary import drawn, invariants
from tests.adversary.model import Call, Say, Script, ScriptedModel, writer
from tests.adversary.profile import PROFILE, SEED
from tests.durable.driver import OFFICIAL, Engine
from tests.serving import synced

pytestmark = pytest.mark.skipif(bool(OFFICIAL), reason="every example lasts until all clocks have run out")
PAYING = '{"order_id": "A-1001", "amount_cents": 4900, "reason": "Duplicate charge"}'


def noting_whose_email(original: Any) -> Any:
    """One of the worker's two ways in, so that the model knows for whom it writes, though nobody tells it."""

    async def noted(given_: Any, ticket: worker.Ticket, *arguments: Any, **options: Any) -> worker.Outcome:
        writer.set(ticket["customer_id"])
        return cast(worker.Outcome, await original(given_, ticket, *arguments, **options))

    return noted


@pytest.fixture
async def adversary(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Production's rules, a model with a script, and customers with secrets."""
    monkeypatch.setattr(inngest_app, "DEV", False)
    monkeypatch.setenv("MODEL_PROVIDER", "tests.adversary.model:Provider")
    for module, name in ((worker, "answer"), (saved_state, "resume")):
        monkeypatch.setattr(module, name, noting_whose_email(getattr(module, name)))

    async def pay(**payment: Any) -> str:
        return await invariants.Provider.present(**payment)

    monkeypatch.setattr(logging.getLogger("customer-support"), "disabled", True)
    monkeypatch.setitem(providers.PROVIDERS, "ledger", pay)


async def tell(
    app_url: str, emails: list[tuple[str, str]], script: Script, acts: list[drawn.Act], moods: list[str]
) -> tuple[invariants.Approver, invariants.Provider]:
    """Everything that was drawn, until all clocks have run out."""
    invariants.Provider.present = providers.in_ledger_only
    await invariants.begin()
    provider = invariants.Provider.present = invariants.Provider(moods)
    ScriptedModel.script = script
    left = list(acts)
    async with Engine() as engine:
        await synced(app_url)
        live = engine.dev_server.engine.live
        approver = invariants.Approver(engine)
        for customer_id, text in emails:
            await engine.email(text, customer_id)
            await engine.settle()
            for _ in range(2):
                if left:
                    await approver.do(left.pop(0))
                    await engine.settle()
        for _ in range(48):
            if not live:
                break
            if left:
                await approver.do(left.pop(0))
            await engine.advance(minutes=30)
        assert not live, "a run without end"
    return approver, provider


@PROFILE
@given(drawn.emails, drawn.scripts, st.lists(drawn.acts, min_size=2, max_size=8), drawn.provider_moods)
@seed(SEED)
async def test_no_cent_moves_without_a_yes_to_exactly_it(
    adversary: None,
    email_app_url: str,
    emails: list[tuple[str, str]],
    script: Script,
    acts: list[drawn.Act],
    moods: list[str],
) -> None:
    approver, provider = await tell(email_app_url, emails, script, acts, moods)
    rows = await invariants.check_money(approver, provider)
    await invariants.check_ends(len(emails))
    await invariants.check_replies(script)
    event(f"{min(len(rows), 2)} asked, {min(len(approver.yes), 2)} approved, {min(len(provider.paid), 2)} paid")


@pytest.mark.parametrize(("decision", "paid_cents"), [("approve", 4900), ("lower", 2450)])
async def test_the_examples_can_lead_to_money(
    adversary: None, email_app_url: str, decision: drawn.Decision, paid_cents: int
) -> None:
    """Or the invariants above would hold for want of a payment."""
    script = Script([[Call("issue_refund", PAYING)], [Say("Done.", echo=True)]])
    acts = [drawn.Act(0, [], decision, 0.5, True)]
    approver, provider = await tell(email_app_url, [("cust_002", "Hello")], script, acts, ["pays"])
    await invariants.check_money(approver, provider)
    assert list(provider.paid.values()) == [("cust_002", "A-1001", paid_cents)]


def asks(*refunds: tuple[str, int], call_id: str | None = None) -> list[Call | Say]:
    texts = (json.dumps({"order_id": order, "amount_cents": cents, "reason": "Double"}) for order, cents in refunds)
    return [Call("issue_refund", text, call_id) for text in texts]


@pytest.mark.parametrize(
    ("turns", "paid_cents"),
    [
        ([asks(("A-1001", 4900), ("a 1001", 4900))], [4900]),
        ([asks(("A-1001", 4900)), asks(("#a-1001", 4900))], [4900]),
        ([asks(("A-1001", 50_000)), asks(("A-1001", 2**63))], [50_000]),
        ([asks(("A-1001", 100), call_id="c"), asks(("B-7", 49_999), call_id="c")], [100, 49_999]),
        ([[Say(drawn.PROMISES[0])]] * 20, []),
    ],
    ids=["two spellings at once", "two spellings in turn", "too much", "one call id twice", "a promise"],
)
async def test_what_a_greedy_model_tries_first_pays_an_order_once(
    adversary: None, email_app_url: str, turns: list[list[Call | Say]], paid_cents: list[int]
) -> None:
    acts = [drawn.Act(0, [], "approve", 1.0, True)] * 4
    script = Script(turns)
    approver, provider = await tell(email_app_url, [("cust_002", "Hello")], script, acts, ["pays"])
    await invariants.check_money(approver, provider)
    await invariants.check_ends(1)
    await invariants.check_replies(script)
    assert [cents for _, _, cents in provider.paid.values()] == paid_cents
