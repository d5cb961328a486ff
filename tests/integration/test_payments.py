"""From a yes to the money over real HTTP, with a Stripe that misbehaves: whatever happens, it pays an order once.

Runs without any account. What counts is what the stand-in says it paid, beside what the ledger says.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import stripe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import db
from refunds import ledger, payments, providers
from tests.fake_stripe import KEY, FakeStripe, serve
from tests.ledger import approve_unseen, decide, forget_everything, rewrite

REASON = "Duplicate charge"
IMPATIENCE_SECONDS = 0.8
# Troubles after which it is open whether money moved: the call is repeated.
OPEN = [
    "silence before",
    "silence after",
    "500 before",
    "500 after",
    "503 before",
    "cut after",
    "garbage after",
    "locked after",
    "402",
    "403",
    "409",
    "429",
]


@pytest.fixture
async def account(database: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeStripe]:
    """A Stripe account with one payment of $49.00 for order A-1001; the app is configured to use it.

    Whatever a test did: no order was refunded twice, and the ledger agrees with the account.
    """
    async with serve(FakeStripe()) as fake:
        fake.charged("A-1001")
        monkeypatch.setenv("PAYMENTS", "stripe")
        monkeypatch.setenv("STRIPE_API_KEY", KEY)
        monkeypatch.setenv("STRIPE_API_BASE", fake.url)
        yield fake
        await ledger_and_account_agree(fake)


async def ledger_and_account_agree(fake: FakeStripe) -> None:
    """At most one refund an order; issued only if paid, blocked only if not; what was paid is issued or still open."""
    rows = await db.fetch("select * from refunds where payment_started_at is not null order by id")
    paid = fake.paid()
    assert len({order for order, _ in paid}) == len(paid)
    issued = [(row["order_id"], row["approved_cents"]) for row in rows if row["status"] == "issued"]
    still_open = [(row["order_id"], row["approved_cents"]) for row in rows if row["status"] == "approved"]
    assert set(issued) <= set(paid) <= {*issued, *still_open}
    references = {row["outcome"] for row in rows if row["status"] == "issued"}
    assert references <= {refund["id"] for refund in fake.refunds}
    audited = await db.fetch(
        "select detail::jsonb ->> 'reference' as reference from audit_log where action = 'refund_issued'"
    )
    assert {row["reference"] for row in audited} == references
    assert len(audited) == len(issued)


async def approved(
    run_id: str = "run-1",
    order_id: str = "A-1001",
    customer_id: str = "cust_001",
    cents: int = 4900,
    *,
    unseen: bool = False,
    **how: Any,
) -> None:
    wanted = {"call_id": "call-1", "order_id": order_id, "amount_cents": cents, "reason": REASON}
    await ledger.open_requests(run_id, "event-1", customer_id, [wanted])
    [row] = await ledger.of_run(run_id)
    if unseen:
        await approve_unseen(run_id)
    else:
        assert await decide(row["id"], approved=True, by="ada", **how) is None


async def issue(
    run_id: str = "run-1", order_id: str = "A-1001", customer_id: str = "cust_001", cents: int = 4900
) -> dict[str, Any]:
    return await payments.issue(run_id, "call-1", customer_id, order_id, cents, REASON)


async def lost(*arguments: Any) -> None:
    """A try whose outcome stays open; it waits for an answer for less long than the others."""
    with pytest.MonkeyPatch.context() as impatient:
        impatient.setattr(providers, "TIMEOUT_SECONDS", IMPATIENCE_SECONDS)
        with pytest.raises(stripe.StripeError):
            await issue(*arguments)


async def status(run_id: str = "run-1") -> tuple[str, bool]:
    """The state in the ledger, and whether a payment was begun."""
    [row] = await ledger.of_run(run_id)
    return row["status"], row["payment_started_at"] is not None


ISSUED = {"status": "issued", "order_id": "A-1001", "amount_cents": 4900}
PAID = [("A-1001", 4900)]


async def test_a_good_day(account: FakeStripe) -> None:
    await approved()
    assert await issue() == ISSUED
    assert account.paid() == PAID
    [refund] = account.refunds
    [row] = await ledger.of_run("run-1")
    assert row["outcome"] == refund["id"]
    assert account.calls == ["search", "list", "create"]


async def test_a_lowered_amount_is_what_leaves(account: FakeStripe) -> None:
    await approved(amount_cents=1500)
    assert await issue() == ISSUED | {"amount_cents": 1500}
    assert account.paid() == [("A-1001", 1500)]


async def test_without_a_yes_the_provider_is_not_even_asked(account: FakeStripe) -> None:
    await ledger.open_requests(
        "run-1", "e", "cust_001", [{"call_id": "call-1", "order_id": "A-1001", "amount_cents": 4900, "reason": REASON}]
    )
    assert (await issue())["status"] == "blocked"
    assert account.calls == []


async def test_the_place_is_taken_in_the_ledger_before_the_provider_is_asked(
    account: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = FakeStripe._search

    async def watched(fake: FakeStripe, *arguments: Any) -> Any:
        seen.append(await status())
        return await original(fake, *arguments)

    monkeypatch.setattr(FakeStripe, "_search", watched)
    await approved()
    await issue()
    assert seen == [("approved", True)]


# Trouble at the provider


@pytest.mark.parametrize("call", ["search", "list"])
async def test_a_question_that_stripe_refuses_says_nothing_about_the_money(call: str, account: FakeStripe) -> None:
    """The first try has paid and its answer was lost; a 400 to the second one's question must not close the refund."""
    account.trouble["create"] = ["cut after"]
    account.trouble[call] = ["", "400 before"]
    await approved()
    await lost()
    await lost()
    assert await status() == ("approved", True)
    assert await issue() == ISSUED
    assert account.paid() == PAID


@pytest.mark.parametrize("trouble", OPEN)
@pytest.mark.parametrize("call", ["search", "list", "create"])
async def test_whatever_goes_wrong_at_a_call_it_stays_open_and_the_next_try_pays_once(
    call: str, trouble: str, account: FakeStripe
) -> None:
    account.trouble[call] = [trouble]
    await approved()
    await lost()
    assert await status() == ("approved", True)
    # A charge whose answer was lost is found by its metadata; one that is still being worked on, too.
    assert await issue() == ISSUED
    assert account.paid() == PAID
    assert await issue() == ISSUED
    assert account.paid() == PAID


@pytest.mark.parametrize("trouble", ["silence after", "500 after", "cut after"])
@pytest.mark.parametrize("forgotten", [False, True])
async def test_after_a_lost_answer_the_charge_is_found_even_when_the_key_is_forgotten(
    forgotten: bool, trouble: str, account: FakeStripe
) -> None:
    account.trouble["create"] = [trouble]
    await approved()
    await lost()
    assert account.paid() == PAID
    if forgotten:
        account.a_day_passes()
    assert await issue() == ISSUED
    assert account.calls.count("create") == 1


async def test_a_charge_that_shows_in_no_list_yet_is_not_made_twice(account: FakeStripe) -> None:
    """Only the idempotency key stands between the second try and a second refund."""
    account.trouble["create"] = ["silence after"]
    await approved()
    await lost()
    hidden = account.refunds.copy()
    account.refunds.clear()
    assert await issue() == ISSUED
    assert account.refunds == []
    account.refunds += hidden


async def test_the_same_key_with_other_parameters_pays_nothing_and_stays_open(account: FakeStripe) -> None:
    """As after a deploy that changed what is sent along."""
    account.trouble["create"] = ["500 before"]
    await approved()
    with pytest.raises(stripe.APIError):
        await issue()
    [row] = await ledger.of_run("run-1")
    key = ledger.digest("run-1", "call-1", 4900, row["digest"])
    account.answers[key] = {"amount": "4900"}, None
    with pytest.raises(stripe.IdempotencyError):
        await issue()
    assert await status() == ("approved", True)
    account.a_day_passes()
    assert await issue() == ISSUED


async def test_a_call_still_being_worked_on_is_waited_for_and_not_repeated(account: FakeStripe) -> None:
    account.trouble["create"] = ["locked after"]
    await approved()
    await lost()
    hidden = account.refunds.copy()
    account.refunds.clear()
    with pytest.raises(stripe.APIError) as raised:
        await issue()
    assert raised.value.http_status == 409
    assert await status() == ("approved", True)
    account.refunds += hidden
    assert await issue() == ISSUED


async def test_nobody_listens_and_later_somebody_does(account: FakeStripe, monkeypatch: pytest.MonkeyPatch) -> None:
    await approved()
    with monkeypatch.context() as away:
        away.setenv("STRIPE_API_BASE", "http://127.0.0.1:1")
        for _ in range(3):
            with pytest.raises(stripe.APIConnectionError):
                await issue()
    assert await status() == ("approved", True)
    assert await issue() == ISSUED


async def test_a_wrong_key_pays_nothing_and_with_the_right_one_it_is_paid(
    account: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    await approved()
    with monkeypatch.context() as wrong:
        wrong.setenv("STRIPE_API_KEY", "sk_test_of_somebody_else")
        with pytest.raises(stripe.AuthenticationError) as raised:
            await issue()
    assert "somebody_else" not in str(raised.value)
    assert await status() == ("approved", True)
    assert account.paid() == []
    assert await issue() == ISSUED


# What the provider refuses


async def blocked(account: FakeStripe, why: str, run_id: str = "run-1", **facts: Any) -> None:
    """The refund is blocked for this reason, in every place that tells of it, and stays so."""
    told = await issue(run_id, **facts)
    assert told["status"] == "blocked"
    assert why in told["why"]
    [row] = await ledger.of_run(run_id)
    assert (row["status"], row["outcome"]) == ("blocked", told["why"])
    audited = await db.fetch("select detail from audit_log where action = 'refund_blocked' and run_id = $1", run_id)
    assert [json.loads(each["detail"])["why"] for each in audited] == [told["why"]]
    calls = len(account.calls)
    assert (await issue(run_id, **facts))["status"] == "blocked"
    assert len(account.calls) == calls


async def test_an_order_without_a_payment_is_blocked(account: FakeStripe) -> None:
    await approved(order_id="A-1002")
    await blocked(account, "Stripe has no payment of this customer for this order", order_id="A-1002")
    assert account.paid() == []


async def test_another_customers_order_is_blocked(account: FakeStripe) -> None:
    await approved(customer_id="cust_002")
    await blocked(account, "Stripe has no payment of this customer", customer_id="cust_002")
    assert account.paid() == []


@pytest.mark.parametrize("payment_status", ["requires_payment_method", "processing", "canceled"])
async def test_a_payment_that_never_succeeded_is_not_refunded(payment_status: str, account: FakeStripe) -> None:
    account.charged("A-1002", status=payment_status)
    await approved(order_id="A-1002")
    await blocked(account, "Stripe has no payment", order_id="A-1002")
    assert account.paid() == []


async def test_two_payments_for_one_order_are_for_a_person(account: FakeStripe) -> None:
    account.charged("A-1001")
    await approved()
    await blocked(account, "Stripe has 2 payments of this customer for this order")
    assert account.paid() == []


async def test_a_second_payment_that_comes_after_the_charge_does_not_hide_it(account: FakeStripe) -> None:
    account.trouble["create"] = ["silence after"]
    await approved()
    await lost()
    account.charged("A-1001")
    assert await issue() == ISSUED
    assert account.paid() == PAID


async def test_a_payment_that_cannot_be_found_any_more_after_the_charge_leaves_it_open(account: FakeStripe) -> None:
    """Stripe's search lags, and a key of another account finds nothing: no reason to say that no money moved."""
    account.trouble["create"] = ["silence after"]
    await approved()
    await lost()
    hidden, account.payments = account.payments, []
    with pytest.raises(providers.NothingFoundError):
        await issue()
    assert await status() == ("approved", True)
    account.payments = hidden
    assert await issue() == ISSUED


@pytest.mark.parametrize("cents", [4900, 100])
async def test_what_somebody_refunded_by_hand_is_not_refunded_again(cents: int, account: FakeStripe) -> None:
    account.refunded_by_hand("pi_1", cents)
    await approved()
    await blocked(account, "Stripe already has a refund of this payment: re_hand_1")
    assert account.paid() == []


@pytest.mark.parametrize("refund_status", ["failed", "canceled"])
async def test_a_failed_refund_of_somebody_elses_does_not_stand_in_the_way(
    refund_status: str, account: FakeStripe
) -> None:
    account.refunded_by_hand("pi_1", 0, refund_status)
    await approved()
    assert await issue() == ISSUED


async def test_a_refund_by_hand_in_the_same_moment_is_a_refusal(
    account: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = FakeStripe._create

    async def too_late(fake: FakeStripe, parameters: dict[str, str], key: str) -> Any:
        fake.refunded_by_hand("pi_1", 4900)
        return await original(fake, parameters, key)

    monkeypatch.setattr(FakeStripe, "_create", too_late)
    await approved()
    await blocked(account, "has already been refunded")
    assert account.paid() == []


async def test_an_amount_above_the_payment_is_blocked(account: FakeStripe) -> None:
    await approved(cents=4901)
    await blocked(account, "greater than unrefunded amount", cents=4901)
    assert account.paid() == []


@pytest.mark.parametrize("refund_status", ["failed", "canceled"])
@pytest.mark.parametrize("trouble", ["", "silence after"])
async def test_a_refund_that_fails_at_the_provider_is_no_refund(
    refund_status: str, trouble: str, account: FakeStripe
) -> None:
    account.refund_status = refund_status
    account.trouble["create"] = [trouble]
    await approved()
    if trouble:
        await lost()
    await blocked(account, f"Stripe's refund re_1 is {refund_status}")
    assert account.paid() == []


async def test_a_refund_that_takes_its_time_is_one(account: FakeStripe) -> None:
    account.refund_status = "pending"
    await approved()
    assert await issue() == ISSUED


async def test_after_a_refusal_the_order_is_free_for_a_new_request(account: FakeStripe) -> None:
    await approved(cents=4901)
    await blocked(account, "greater", cents=4901)
    await approved("run-2")
    assert await issue("run-2") == ISSUED


@pytest.mark.parametrize("customer_id", ["O'Brien", "x' OR status:'succeeded", "\\", "\\'", "a\\' AND b", '"', "''"])
async def test_a_name_with_quotes_and_backslashes_is_only_a_name(customer_id: str, account: FakeStripe) -> None:
    await db.fetch("insert into customers values ($1, 'hostile@example.com', 'pro')", customer_id)
    await approved("run-1", customer_id=customer_id)
    await blocked(account, "Stripe has no payment", customer_id=customer_id)
    account.charged("B-7", customer_id)
    await approved("run-2", "B-7", customer_id)
    assert (await issue("run-2", "B-7", customer_id))["status"] == "issued"
    assert account.paid() == [("B-7", 4900)]


@pytest.mark.parametrize("text", ["A'B", "A\\B", "A\\'", "' OR status:'succeeded", "\\\\", "A'] B"])
async def test_an_order_with_quotes_and_backslashes_reaches_the_provider_as_it_is(
    text: str, account: FakeStripe
) -> None:
    """The worker asks for normalized order ids only; the provider does not rely on it."""
    ask: Any = {"customer_id": "cust_001", "order_id": text, "amount_cents": 4900, "key": "key-1"}
    with pytest.raises(providers.DeclinedError, match="no payment of"):
        await providers.with_stripe(**ask)
    account.charged(text)
    reference = await providers.with_stripe(**ask)
    assert [(refund["id"], refund["metadata"]["order_id"]) for refund in account.refunds] == [(reference, text)]
    account.refunds.clear()


# The process dies


@pytest.mark.parametrize("forgotten", [False, True])
async def test_dying_between_the_charge_and_the_ledger_pays_once(
    forgotten: bool, account: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = providers.with_stripe

    async def dies(**arguments: Any) -> str:
        await original(**arguments)
        raise asyncio.CancelledError

    await approved()
    with monkeypatch.context() as dying:
        dying.setitem(providers.PROVIDERS, "stripe", dies)
        with pytest.raises(asyncio.CancelledError):
            await issue()
    assert account.paid() == PAID
    assert await status() == ("approved", True)
    if forgotten:
        account.a_day_passes()
    assert await issue() == ISSUED
    assert account.paid() == PAID


async def test_a_database_that_goes_away_after_the_charge_costs_no_second_one(
    account: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:

    async def fails(*_: Any) -> Any:
        raise ConnectionResetError("the database is gone")

    await approved()
    with monkeypatch.context() as gone:
        gone.setattr(payments, "fetch", fails)
        with pytest.raises(ConnectionResetError):
            await issue()
    assert account.paid() == PAID
    assert await issue() == ISSUED


async def test_ten_at_once_pay_once(account: FakeStripe) -> None:
    await approved()
    outcomes = await asyncio.gather(*(issue() for _ in range(10)), return_exceptions=True)
    assert ISSUED in outcomes
    assert [outcome for outcome in outcomes if not isinstance(outcome, stripe.StripeError) and outcome != ISSUED] == []
    assert account.paid() == PAID


async def test_while_one_payment_is_open_no_other_is_begun_that_its_approver_did_not_name(account: FakeStripe) -> None:
    account.trouble["create"] = ["silence after"]
    await approved()
    await lost()
    await approved("run-2", unseen=True)
    calls = len(account.calls)
    assert "was paid meanwhile and looks the same" in (await issue("run-2"))["why"]
    assert len(account.calls) == calls
    assert await issue() == ISSUED


async def test_a_ledger_that_was_closed_while_the_provider_paid_does_not_say_issued_quietly(
    account: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(**_: Any) -> str:
        [row] = await db.fetch("select * from refunds")
        await rewrite(
            "update refunds set status = 'blocked', settled_at = now(), outcome = 'x' where id = $1", row["id"]
        )
        return "re_1"

    await approved()
    monkeypatch.setitem(providers.PROVIDERS, "stripe", slow)
    with pytest.raises(RuntimeError, match=r"refund 1 was paid \(re_1\) while the ledger came to say blocked"):
        await issue()


async def test_a_refusal_that_comes_after_the_money_changes_nothing(
    account: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = providers.with_stripe

    async def beside(**arguments: Any) -> str:
        monkeypatch.setitem(providers.PROVIDERS, "stripe", original)
        assert await issue() == ISSUED
        raise providers.DeclinedError("too late")

    await approved()
    monkeypatch.setitem(providers.PROVIDERS, "stripe", beside)
    assert await issue() == ISSUED
    assert await status() == ("issued", True)


# A payment whose run is gone


async def begun(run_id: str, account: FakeStripe, trouble: str, order_id: str = "A-1001") -> None:
    """An approved refund whose payment was begun, with this trouble, eleven minutes ago."""
    account.trouble["create"].append(trouble)
    await approved(run_id, order_id)
    await lost(run_id, order_id)
    await rewrite("update refunds set payment_started_at = now() - interval '11 minutes' where run_id = $1", run_id)


@pytest.mark.parametrize("trouble", ["silence before", "silence after", "500 after", "409"])
async def test_a_payment_whose_run_is_gone_is_finished(trouble: str, account: FakeStripe) -> None:
    await begun("run-1", account, trouble)
    await ledger.block_the_rest("run-1", "the run ended", pending=True)
    assert await status() == ("approved", True)
    assert await payments.finish_payments() == 1
    assert await status() == ("issued", True)
    assert account.paid() == PAID
    assert await payments.finish_payments() == 0


async def test_a_payment_that_was_just_begun_is_left_to_its_run(account: FakeStripe) -> None:
    await begun("run-1", account, "500 before")
    await rewrite("update refunds set payment_started_at = now() - interval '9 minutes'")
    assert await payments.finish_payments() == 0
    assert await status() == ("approved", True)


async def test_one_payment_that_is_still_in_trouble_does_not_hold_up_the_others(account: FakeStripe) -> None:
    for number, run_id in enumerate(["run-1", "run-2", "run-3"], 1):
        account.charged(f"B-{number}")
        await begun(run_id, account, "500 before", f"B-{number}")
    account.trouble["create"] = ["500 before"]
    with pytest.raises(stripe.APIError):
        await payments.finish_payments()
    assert sorted([(await status(f"run-{n}"))[0] for n in (1, 2, 3)]) == ["approved", "issued", "issued"]
    assert await payments.finish_payments() == 1
    assert len(account.paid()) == 3


async def test_a_payment_whose_run_is_gone_and_that_the_provider_refuses_is_blocked(account: FakeStripe) -> None:
    await begun("run-1", account, "500 before")
    account.refunded_by_hand("pi_1", 4900)
    await payments.finish_payments()
    assert await status() == ("blocked", True)
    assert account.paid() == []


# Any sequence of troubles

MISFORTUNE = st.sampled_from(["", *(trouble for trouble in OPEN if not trouble.startswith("silence"))])


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    searches=st.lists(MISFORTUNE, max_size=4),
    lists=st.lists(MISFORTUNE, max_size=4),
    creates=st.lists(MISFORTUNE, max_size=4),
    days=st.sets(st.integers(0, 8)),
    at_once=st.lists(st.sampled_from(["run-1", "run-2"]), min_size=1, max_size=3),
)
async def test_whatever_goes_wrong_however_often_an_order_is_paid_once(
    searches: list[str], lists: list[str], creates: list[str], days: set[int], at_once: list[str], account: FakeStripe
) -> None:
    await forget_everything()
    account.refunds.clear()
    account.a_day_passes()
    account.trouble |= {"search": searches.copy(), "list": lists.copy(), "create": creates.copy()}
    for run_id in ("run-1", "run-2"):
        await approved(run_id, unseen=True)
    with pytest.MonkeyPatch.context() as impatient:
        impatient.setattr(providers, "TIMEOUT_SECONDS", IMPATIENCE_SECONDS)
        for attempt in range(20):
            if attempt in days:
                account.a_day_passes()
            outcomes = await asyncio.gather(*(issue(run_id) for run_id in at_once), return_exceptions=True)
            await ledger_and_account_agree(account)
            if ISSUED in outcomes:
                break
    assert [outcome for outcome in await asyncio.gather(issue("run-1"), issue("run-2")) if outcome == ISSUED] == [
        ISSUED
    ]
    assert account.paid() == PAID


# Configuration


@pytest.mark.parametrize(
    ("name", "key", "message"),
    [
        ("paypal", "x", "PAYMENTS is 'paypal': expected ledger or stripe"),
        ("Stripe", "x", "PAYMENTS is 'Stripe'"),
        ("stripe", "", "PAYMENTS=stripe needs STRIPE_API_KEY"),
    ],
)
def test_a_provider_that_cannot_work_is_refused(
    name: str, key: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYMENTS", name)
    monkeypatch.setenv("STRIPE_API_KEY", key)
    with pytest.raises(ValueError, match=message):
        providers.provider()


@pytest.mark.parametrize("key", ["sk_live_s3cr3t", "rk_live_s3cr3t"])
def test_a_key_to_real_money_is_refused_where_a_bare_event_approves(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENTS", "stripe")
    monkeypatch.setenv("STRIPE_API_KEY", key)
    with pytest.raises(ValueError, match="STRIPE_API_KEY is a live key") as refused:
        providers.provider()
    assert "s3cr3t" not in str(refused.value)
    monkeypatch.setenv("STRIPE_API_KEY", key.replace("live", "test"))
    assert providers.provider() is providers.with_stripe
    monkeypatch.setenv("INNGEST_DEV", "0")
    monkeypatch.setenv("INNGEST_EVENT_KEY", "event-key")
    monkeypatch.setenv("INNGEST_SIGNING_KEY", "signkey-prod-12")
    monkeypatch.setenv("STRIPE_API_KEY", key)
    assert providers.provider() is providers.with_stripe


@pytest.mark.parametrize("name", [None, "", "ledger"])
def test_the_ledger_alone_is_the_default(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if name is not None:
        monkeypatch.setenv("PAYMENTS", name)
    assert providers.provider() is providers.in_ledger_only
