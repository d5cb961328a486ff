"""What the worker may ask for, and the promise check against the ledger. Runs without any account."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refunds import ledger, payments, promises, rules
from tests.ledger import decide

GOOD: dict[str, Any] = {"order_id": "#a 1001", "amount_cents": 4900, "reason": "Duplicate charge"}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def ask(**changed: Any) -> tuple[dict[str, Any], str | None]:
    return rules.requested_refund("call-1", json.dumps(GOOD | changed))


# What may be asked for


def test_a_good_request_is_the_refund_with_the_orders_one_spelling() -> None:
    refund = {"call_id": "call-1", "order_id": "A-1001", "amount_cents": 4900, "reason": "Duplicate charge"}
    assert ask() == (refund, None)


@pytest.mark.parametrize(
    "amount",
    [
        *(0, -1, -4900, 50000, 10**9, pytest.param(10**400, id="huge")),
        *("4900", "$49", "", None, True, False, 4900.0, 49.5, [4900], {"cents": 4900}),
        *(float("nan"), float("inf"), float("-inf")),
    ],
)
def test_an_amount_that_is_not_whole_cents_above_zero_and_below_the_limit_is_a_problem(amount: Any) -> None:
    refund, problem = ask(amount_cents=amount)
    assert problem == "amount_cents must be a whole number above 0 and below 50000"
    assert refund["order_id"] == "A-1001"
    json.dumps(refund, allow_nan=False)
    assert len(json.dumps(refund)) < 300


def test_the_limit_is_a_setting_and_excludes_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [ask(amount_cents=cents)[1] is None for cents in (1, 49_999, 50_000)] == [True, True, False]
    monkeypatch.setenv("REFUND_LIMIT_CENTS", "100")
    assert [ask(amount_cents=cents)[1] is None for cents in (1, 99, 100, 4900)] == [True, True, False, False]


@pytest.mark.parametrize("order_id", ["", " ", "#", "---", "\0", "\ud800", "\u65e5\u672c", "A" * 65, "A-" * 40])
def test_an_order_that_names_none_is_a_problem(order_id: str) -> None:
    assert ask(order_id=order_id)[1] == "order_id does not name an order"


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 1001, None, 7, ["because"], {"why": "because"}])
def test_a_reason_that_is_no_sentence_is_a_problem(reason: Any) -> None:
    assert ask(reason=reason)[1] == "reason must be one sentence"


@pytest.mark.parametrize("missing", GOOD)
def test_a_missing_argument_is_a_problem(missing: str) -> None:
    arguments = json.dumps({name: value for name, value in GOOD.items() if name != missing})
    assert rules.requested_refund("call-1", arguments)[1] == "order_id, amount_cents and reason are needed"


@pytest.mark.parametrize(
    "arguments",
    [
        *(None, "", "null", "[]", "7", '"text"', "{", '{"order_id": "A-1", "amount_cents": 49', "\ud800"),
        '{"order_id": 7, "amount_cents": 1, "reason": "x"}',
        '{"order_id": null, "amount_cents": 1, "reason": "x"}',
        pytest.param("[" * 100_000, id="deep"),
        pytest.param(f'{{"order_id": "A", "amount_cents": {"9" * 5000}, "reason": "x"}}', id="endless number"),
    ],
)
def test_arguments_that_cannot_be_read_are_a_problem(arguments: str | None) -> None:
    refund, problem = rules.requested_refund("call-1", arguments)
    assert (refund, problem) == ({"call_id": "call-1"}, "order_id, amount_cents and reason are needed")


@given(st.text() | st.builds(json.dumps, ANYTHING))
def test_whatever_the_model_writes_is_read_without_an_error(arguments: str) -> None:
    assert rules.requested_refund("call-1", arguments)[1] is not None


@given(order_id=st.text() | ANYTHING, amount_cents=st.integers() | ANYTHING, reason=st.text() | ANYTHING)
def test_what_passes_can_be_written_to_the_ledger(order_id: Any, amount_cents: Any, reason: Any) -> None:
    refund, problem = ask(order_id=order_id, amount_cents=amount_cents, reason=reason)
    if problem is None:
        assert refund["order_id"] == ledger.order_key(refund["order_id"]) != ""
        assert 0 < refund["amount_cents"] < 50_000
        assert refund["reason"] == reason
    else:
        assert refund["call_id"] == "call-1"


# What may be said

PROMISE = "I have refunded $49.00 for order A-1001."


@pytest.fixture
async def issued(database: None) -> None:
    """The customer cust_001 was refunded order A-1001 in run-1, and asked for B-2, which waits."""
    wanted = [GOOD | {"call_id": "call-1", "order_id": "A-1001"}, GOOD | {"call_id": "call-2", "order_id": "B-2"}]
    await ledger.open_requests("run-1", "event-1", "cust_001", wanted)
    row, _ = await ledger.of_run("run-1")
    await decide(row["id"], approved=True, by="grace")
    result = await payments.issue("run-1", "call-1", "cust_001", "A-1001", 4900, "Duplicate charge")
    assert result["status"] == "issued"


async def test_a_promise_without_a_refund_is_not_sent(database: None) -> None:
    with pytest.raises(promises.UnbackedPromiseError):
        await promises.check_promises(PROMISE, "run-1", "cust_001")


async def test_a_reply_that_promises_nothing_may_be_sent(database: None) -> None:
    await promises.check_promises("I'm sorry, the refund was not made.", "run-1", "cust_001")


async def test_a_refund_issued_in_this_run_backs_the_promise(issued: None) -> None:
    await promises.check_promises(PROMISE, "run-1", "cust_001")
    await promises.check_promises("Your refund is on its way.", "run-1", "cust_001")


@pytest.mark.parametrize("named", ["order A-1001", "(#a-1001)", "A 1001", "a1001"])
async def test_an_earlier_refund_backs_the_promise_when_the_reply_names_its_order(issued: None, named: str) -> None:
    await promises.check_promises(f"We have refunded {named} already.", "run-2", "cust_001")


@pytest.mark.parametrize(
    "reply",
    [
        "Your refund has been issued.",
        "I have refunded order B-2.",
        "I have refunded order A-10012.",
        "I have refunded order AA-1001.",
        "I have refunded order A-100.",
    ],
)
async def test_another_order_or_none_does_not(issued: None, reply: str) -> None:
    with pytest.raises(promises.UnbackedPromiseError):
        await promises.check_promises(reply, "run-2", "cust_001")


@pytest.mark.parametrize(
    "reply",
    [
        "I have refunded order B-2.",
        "I have refunded $49.00 for order A-1001 and $49.00 for order B-2.",
        "I have refunded order A-1001. Your refund for order #b 2 is on its way too.",
    ],
)
async def test_beside_an_issued_refund_one_that_was_not_cannot_be_claimed(issued: None, reply: str) -> None:
    with pytest.raises(promises.UnbackedPromiseError):
        await promises.check_promises(reply, "run-1", "cust_001")


@pytest.mark.parametrize(
    "reply",
    [
        "I have refunded order A-1001. I am sorry, no money could be sent back for order B-2.",
        "I have refunded order A-1001, but order B-2 was rejected.",
        "I have refunded order A-1001, and a colleague will look at order B-2.",
    ],
)
async def test_beside_an_issued_refund_the_truth_about_the_other_may_be_told(issued: None, reply: str) -> None:
    await promises.check_promises(reply, "run-1", "cust_001")


async def test_an_order_refunded_earlier_may_be_called_so_though_it_was_refused_now(issued: None) -> None:
    await ledger.open_requests("run-2", "event-2", "cust_001", [GOOD | {"call_id": "call-1", "order_id": "A-1001"}])
    await promises.check_promises("Order A-1001 was refunded already.", "run-2", "cust_001")


async def test_somebody_elses_refund_does_not(issued: None) -> None:
    with pytest.raises(promises.UnbackedPromiseError):
        await promises.check_promises(PROMISE, "run-2", "cust_002")
