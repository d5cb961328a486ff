"""What the worker may ask for. Runs without any account."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refunds import rules

GOOD: dict[str, Any] = {"order_id": " Order #a\n1001 ", "amount_cents": 4900, "reason": "Duplicate charge"}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def ask(**changed: Any) -> tuple[dict[str, Any], str | None]:
    return rules.requested_refund("call-1", json.dumps(GOOD | changed))


# What may be asked for


def test_a_good_request_is_the_refund_with_the_order_as_it_was_given_on_one_line() -> None:
    refund = {"call_id": "call-1", "order_id": "Order #a 1001", "amount_cents": 4900, "reason": "Duplicate charge"}
    assert ask() == (refund, None)


@pytest.mark.parametrize(
    "amount",
    [
        *(0, -1, -4900, 10**14, pytest.param(10**400, id="huge")),
        *("4900", "$49", "", None, True, False, 4900.0, 49.5, [4900], {"cents": 4900}),
        *(float("nan"), float("inf"), float("-inf")),
    ],
)
def test_an_amount_that_is_not_whole_cents_above_zero_is_a_problem(amount: Any) -> None:
    refund, problem = ask(amount_cents=amount)
    assert problem == "amount_cents must be a whole number from 1 to 99999999999999"
    assert refund["order_id"] == "Order #a 1001"
    json.dumps(refund, allow_nan=False)
    assert len(json.dumps(refund)) < 300


def test_every_amount_reaches_a_person_and_only_the_number_of_requests_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert [ask(amount_cents=cents)[1] for cents in (1, 50_000, 10**14 - 1)] == [None] * 3
    monkeypatch.setenv("REQUESTS_PER_EMAIL", "2")
    told = "one email can ask for 2 refunds; a colleague looks at what is on top of that"
    assert [rules.requested_refund("call-1", json.dumps(GOOD), n)[1] for n in (0, 1, 2)] == [None, None, told]


@pytest.mark.parametrize("order_id", ["", " ", "#", "---", "\0", "\ud800", "\u202e\u3164", "A" * 65, "A-" * 40])
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
        assert refund["order_id"] == rules.order_as_given(order_id) == rules.order_as_given(refund["order_id"])
        assert 0 < refund["amount_cents"] < 10**14
        assert refund["reason"] == reason
    else:
        assert refund["call_id"] == "call-1"
