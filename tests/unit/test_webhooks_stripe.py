"""Stripe's webhook: a signature opens it, and each message becomes at most one event. Runs without any account."""

import json
import logging
from typing import Any

import pytest

from tests.providers import DISPUTE, REFUND, SETTINGS, STRIPE_SECRET, Webhooks, by_stripe, stripe_event

FAILED = stripe_event("refund.failed", REFUND)


@pytest.fixture
def webhooks(monkeypatch: pytest.MonkeyPatch) -> Webhooks:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    return Webhooks()


async def test_a_failed_refund_becomes_one_flat_event(webhooks: Webhooks) -> None:
    answer = await webhooks.stripe(FAILED)
    assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
    assert webhooks.sent == [
        {
            "id": "evt_1NG8Du2eZvKYlo2CUI79vXWy",
            "name": "stripe/charge.refund.failed",
            "data": {
                "refund_id": "re_1Nispe2eZvKYlo2Cd31jOCgZ",
                "charge_id": "ch_1NirD82eZvKYlo2CIvbtLWuY",
                "payment_intent_id": "pi_1GszsK2eZvKYlo2CfhZyoZLp",
                "amount_cents": 1000,
                "currency": "usd",
                "reason": "expired_or_canceled_card",
                "status": "failed",
                "livemode": False,
            },
        }
    ]


async def test_a_dispute_that_was_opened_becomes_one_flat_event(webhooks: Webhooks) -> None:
    await webhooks.stripe(stripe_event("charge.dispute.created", DISPUTE) | {"livemode": True})
    (event,) = webhooks.sent
    assert event["name"] == "stripe/charge.dispute.created"
    assert event["data"] == {
        "dispute_id": "du_1MtJUT2eZvKYlo2CNaw2HvEv",
        "charge_id": "ch_1AZtxr2eZvKYlo2CJDX8whov",
        "payment_intent_id": None,
        "amount_cents": 1000,
        "currency": "usd",
        "reason": "general",
        "status": "warning_needs_response",
        "livemode": True,
    }


async def test_what_the_app_wrote_on_the_refund_comes_back_with_it(webhooks: Webhooks) -> None:
    metadata = {"order_id": "A-1001", "customer_id": "cust_002", "key": "k", "note": "x"}
    await webhooks.stripe(stripe_event("refund.failed", REFUND | {"metadata": metadata}))
    data = webhooks.sent[0]["data"]
    assert (data["order_id"], data["customer_id"]) == ("A-1001", "cust_002")
    assert not {"key", "note"} & set(data)


async def test_of_all_that_stripe_tells_of_one_failed_refund_one_event_is_passed_on(webhooks: Webhooks) -> None:
    told = ["refund.failed", "refund.updated", "charge.refund.updated", "refund.created", "charge.refunded"]
    answers = [(await webhooks.stripe(stripe_event(kind, REFUND, f"evt_{kind}"))).json()["status"] for kind in told]
    assert answers == ["accepted", "ignored", "ignored", "ignored", "ignored"]
    assert [event["id"] for event in webhooks.sent] == ["evt_refund.failed"]


async def test_the_courses_name_for_it_is_understood(webhooks: Webhooks) -> None:
    await webhooks.stripe(stripe_event("charge.refund.failed", REFUND))
    assert [event["name"] for event in webhooks.sent] == ["stripe/charge.refund.failed"]


async def test_every_other_type_is_acknowledged_and_ignored(webhooks: Webhooks) -> None:
    """A refusal would make Stripe repeat for three days what nobody asked for."""
    disputes = [f"charge.dispute.{what}" for what in ("updated", "closed", "funds_withdrawn")]
    for kind in ("charge.succeeded", *disputes, "v1.billing.meter.no_meter_found", ""):
        answer = await webhooks.stripe(stripe_event(kind, {"id": "x"}))
        assert (answer.status_code, answer.json()) == (200, {"status": "ignored"})
    assert webhooks.sent == []


@pytest.mark.parametrize("age", [301, 3600, 10**9])
async def test_an_outdated_signature_of_stripes_is_refused(webhooks: Webhooks, age: float) -> None:
    assert (await webhooks.stripe(FAILED, age=age)).status_code == 401
    assert (await webhooks.stripe(FAILED, age=290)).status_code == 200
    assert len(webhooks.sent) == 1


async def test_a_signature_of_stripes_that_fits_anything_else_is_refused(webhooks: Webhooks) -> None:
    body = json.dumps(FAILED).encode()
    right = by_stripe(body)["Stripe-Signature"]
    wrong = [
        "",
        "t=,v1=",
        "t=1",
        "v1=x",
        "t=x,v1=x",
        right.replace("v1=", "v0="),
        right.upper(),
        "\u00e9" + right,
        right + "\u00e9",
        right[:-1],
        right.replace("t=1", "t=2"),
        "t=" + "9" * 5000 + ",v1=0",
        ",".join(["v1=0"] * 3000),
        "t=-1,v1=\u00e9",
        by_stripe(body, "whsec_somebody_else")["Stripe-Signature"],
        by_stripe(body + b" ")["Stripe-Signature"],
    ]
    for header in wrong:
        answer = await webhooks.post("/webhooks/stripe", body, {"Stripe-Signature": header})
        assert answer.status_code == 401, header[:80]
    assert (await webhooks.post("/webhooks/stripe", body)).status_code == 401
    assert (await webhooks.post("/webhooks/stripe", b"\xff\xfe", {"Stripe-Signature": right})).status_code == 401
    assert webhooks.sent == []
    assert (await webhooks.post("/webhooks/stripe", body, {"Stripe-Signature": right})).status_code == 200


async def test_while_a_secret_is_rolled_both_are_good(webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", f"whsec_the_new_one  {STRIPE_SECRET}\n")
    rolling = Webhooks()
    for secret in (STRIPE_SECRET, "whsec_the_new_one"):
        assert (await rolling.stripe(FAILED, secret)).status_code == 200
    assert (await rolling.stripe(FAILED, "whsec_the_one_before")).status_code == 401


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"id": None}, "id: Input should be a valid string"),
        ({"id": "evt_1\r\nx"}, "id: String should match pattern"),
        ({"type": 7}, "type: Input should be a valid string"),
        ({"data": None}, "data: Input should be a valid dictionary or instance of StripeData"),
        ({"data": {"object": []}}, "data.object: Input should be a valid dictionary"),
        ({"data": {}}, "id: Field required"),
        ({"data": {"object": REFUND | {"amount": "1000"}}}, "amount: Input should be a valid integer"),
        ({"data": {"object": REFUND | {"amount": 10.5}}}, "amount: Input should be a valid integer"),
        ({"data": {"object": REFUND | {"amount": True}}}, "amount: Input should be a valid integer"),
        ({"data": {"object": REFUND | {"status": ["failed"]}}}, "status: Input should be a valid string"),
        ({"data": {"object": REFUND | {"metadata": "x"}}}, "metadata: Input should be a valid dictionary"),
    ],
)
async def test_a_signed_message_that_is_not_stripes_is_malformed(
    webhooks: Webhooks, changed: dict[str, Any], reason: str
) -> None:
    answer = await webhooks.stripe(FAILED | changed)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(reason)
    assert webhooks.sent == []


async def test_what_postgres_cannot_store_is_made_harmless(webhooks: Webhooks) -> None:
    await webhooks.stripe(FAILED | {"data": {"object": REFUND | {"metadata": {"order_id": "A\0\ud800"}}}})
    assert webhooks.sent[0]["data"]["order_id"] == "A\ufffd\ufffd"


async def test_metadata_that_is_no_text_is_left_out(webhooks: Webhooks) -> None:
    for value in (None, "", 7, ["A-1001"], {"A-1001": 1}):
        await webhooks.stripe(stripe_event("refund.failed", REFUND | {"metadata": {"order_id": value}}))
    assert not [event for event in webhooks.sent if "order_id" in event["data"]]


async def test_a_body_that_is_nested_without_end_is_malformed(webhooks: Webhooks) -> None:
    """What is nested less deeply stays behind: an event is flat."""
    for levels, status in ((500, 200), (100_000, 400)):
        nested = b"[" * levels + b"]" * levels
        body = json.dumps(FAILED).encode().replace(b'"metadata": {}', b'"metadata": {"order_id": ' + nested + b"}")
        answer = await webhooks.stripe(body)
        assert answer.status_code == status, levels
    assert answer.json() == {"detail": "the body is nested too deeply"}
    assert [event["data"].get("order_id") for event in webhooks.sent] == [None]


# Trouble


async def test_without_a_secret_it_asks_to_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    closed = Webhooks(dev=True)
    answer = await closed.stripe(FAILED)
    assert (answer.status_code, answer.json()) == (503, {"detail": "not configured: set STRIPE_WEBHOOK_SECRET"})
    assert closed.sent == []


async def test_an_engine_that_is_away_costs_a_repetition(webhooks: Webhooks) -> None:
    webhooks.engine_is_down = True
    answer = await webhooks.stripe(FAILED)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    webhooks.engine_is_down = False
    assert (await webhooks.stripe(FAILED)).status_code == 200
    assert len(webhooks.sent) == 1


async def test_a_refusal_repeats_no_secret_and_no_body(webhooks: Webhooks, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        answers = [
            await webhooks.post("/webhooks/stripe", FAILED, {"Stripe-Signature": "t=1,v1=deadbeef"}),
            await webhooks.stripe(FAILED | {"id": "4242 4242"}),
        ]
    assert [answer.status_code for answer in answers] == [401, 400]
    told = "".join(answer.text for answer in answers) + caplog.text
    assert not [secret for secret in ("deadbeef", "4242", STRIPE_SECRET) if secret in told]
    ours = [record for record in caplog.records if record.name == "customer-support"]
    assert [record.levelname for record in ours] == ["WARNING"] * 2
