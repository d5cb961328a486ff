"""The doors of Stripe and of Standard Webhooks: a signature opens them, and each message becomes at most one event."""

import json
import logging
from datetime import datetime, tzinfo
from typing import Any

import pytest
import standardwebhooks.webhooks

from tests.providers import (
    CONTACT_CREATED,
    CRM_SECRET,
    DISPUTE,
    REFUND,
    SETTINGS,
    STRIPE_SECRET,
    Doors,
    by_service,
    by_stripe,
    stripe_event,
)

FAILED = stripe_event("refund.failed", REFUND)


@pytest.fixture
def doors(monkeypatch: pytest.MonkeyPatch) -> Doors:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    return Doors()


# Stripe


async def test_a_failed_refund_becomes_one_flat_event(doors: Doors) -> None:
    answer = await doors.stripe(FAILED)
    assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
    assert doors.sent == [
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


@pytest.mark.parametrize("what", ["created", "updated", "closed"])
async def test_a_dispute_becomes_one_flat_event(doors: Doors, what: str) -> None:
    await doors.stripe(stripe_event(f"charge.dispute.{what}", DISPUTE) | {"livemode": True})
    (event,) = doors.sent
    assert event["name"] == f"stripe/charge.dispute.{what}"
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


async def test_what_the_app_wrote_on_the_refund_comes_back_with_it(doors: Doors) -> None:
    metadata = {"order_id": "A-1001", "customer_id": "cust_002", "key": "k", "note": "x"}
    await doors.stripe(stripe_event("refund.failed", REFUND | {"metadata": metadata}))
    data = doors.sent[0]["data"]
    assert (data["order_id"], data["customer_id"]) == ("A-1001", "cust_002")
    assert not {"key", "note"} & set(data)


async def test_of_all_that_stripe_tells_of_one_failed_refund_one_event_is_passed_on(doors: Doors) -> None:
    told = ["refund.failed", "refund.updated", "charge.refund.updated", "refund.created", "charge.refunded"]
    answers = [(await doors.stripe(stripe_event(kind, REFUND, f"evt_{kind}"))).json()["status"] for kind in told]
    assert answers == ["accepted", "ignored", "ignored", "ignored", "ignored"]
    assert [event["id"] for event in doors.sent] == ["evt_refund.failed"]


async def test_the_courses_name_for_it_is_understood(doors: Doors) -> None:
    await doors.stripe(stripe_event("charge.refund.failed", REFUND))
    assert [event["name"] for event in doors.sent] == ["stripe/charge.refund.failed"]


async def test_every_other_type_is_acknowledged_and_ignored(doors: Doors) -> None:
    """A refusal would make Stripe repeat for three days what nobody asked for."""
    for kind in ("charge.succeeded", "charge.dispute.funds_withdrawn", "v1.billing.meter.no_meter_found", ""):
        answer = await doors.stripe(stripe_event(kind, {"id": "x"}))
        assert (answer.status_code, answer.json()) == (200, {"status": "ignored"})
    assert doors.sent == []


@pytest.mark.parametrize("age", [301, 3600, 10**9])
async def test_an_outdated_signature_of_stripes_is_refused(doors: Doors, age: float) -> None:
    assert (await doors.stripe(FAILED, age=age)).status_code == 401
    assert (await doors.stripe(FAILED, age=290)).status_code == 200
    assert len(doors.sent) == 1


async def test_a_signature_of_stripes_that_fits_anything_else_is_refused(doors: Doors) -> None:
    body = json.dumps(FAILED).encode()
    right = by_stripe(body)["Stripe-Signature"]
    wrong = [
        *(
            "",
            "t=,v1=",
            "t=1",
            "v1=x",
            "t=x,v1=x",
            right.replace("v1=", "v0="),
            right.upper(),
            "\u00e9" + right,
            right + "\u00e9",
        ),
        *(
            right[:-1],
            right.replace("t=1", "t=2"),
            "t=" + "9" * 5000 + ",v1=0",
            ",".join(["v1=0"] * 3000),
            "t=-1,v1=\u00e9",
        ),
        by_stripe(body, "whsec_somebody_else")["Stripe-Signature"],
        by_stripe(body + b" ")["Stripe-Signature"],
    ]
    for header in wrong:
        answer = await doors.post("/webhooks/stripe", body, {"Stripe-Signature": header})
        assert answer.status_code == 401, header[:80]
    assert (await doors.post("/webhooks/stripe", body)).status_code == 401
    assert (await doors.post("/webhooks/stripe", b"\xff\xfe", {"Stripe-Signature": right})).status_code == 401
    assert doors.sent == []
    assert (await doors.post("/webhooks/stripe", body, {"Stripe-Signature": right})).status_code == 200


async def test_while_a_secret_is_rolled_both_open_the_door(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", f"whsec_the_new_one  {STRIPE_SECRET}\n")
    rolling = Doors()
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
    doors: Doors, changed: dict[str, Any], reason: str
) -> None:
    answer = await doors.stripe(FAILED | changed)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(reason)
    assert doors.sent == []


# Standard Webhooks


def at(moment: datetime) -> type[datetime]:
    """A clock that stands still."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Stopped":
            return cls.fromtimestamp(moment.timestamp(), tz)

    return Stopped


async def test_the_schemes_own_test_vector_opens_the_door_at_its_time_only(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vector of the reference libraries. Its payload has no type, so it is verified, and then malformed."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    vector = b'{"test": 2432232314}'
    assert (await doors.post("/webhooks/generic/crm", vector, headers)).status_code == 401
    monkeypatch.setattr(standardwebhooks.webhooks, "datetime", at(datetime.fromtimestamp(1614265330 + 290)))
    answer = await doors.post("/webhooks/generic/crm", vector, headers)
    assert (answer.status_code, answer.json()) == (400, {"detail": "type: Field required"})
    assert (await doors.post("/webhooks/generic/crm", vector + b" ", headers)).status_code == 401


async def test_the_specifications_example_becomes_an_event_of_its_service(doors: Doors) -> None:
    answer = await doors.service(CONTACT_CREATED)
    assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
    assert doors.sent == [
        {
            "id": "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
            "name": "crm/contact.created",
            "data": {"id": "1f81eb52-5198-4599-803e-771906343485"},
        }
    ]


async def test_data_may_be_squashed_into_the_message_as_the_specification_allows(doors: Doors) -> None:
    await doors.service({"type": "user.deleted", "timestamp": "2022-11-03T20:26:10Z", "user": 7})
    assert doors.sent[0]["data"] == {"timestamp": "2022-11-03T20:26:10Z", "user": 7}


@pytest.mark.parametrize("age", [301, 3600, -301, -3600])
async def test_a_signature_that_is_too_old_or_from_the_future_is_refused(doors: Doors, age: float) -> None:
    assert (await doors.service(CONTACT_CREATED, age=age)).status_code == 401
    assert doors.sent == []


async def test_a_signature_that_fits_anything_else_is_refused(doors: Doors) -> None:
    body = json.dumps(CONTACT_CREATED).encode()
    right = by_service(body, "msg_1")
    wrong = [
        *({name: value for name, value in right.items() if name != missing} for missing in right),
        *(right | {"webhook-signature": bad} for bad in ("", "v1", "v1,", "v1,x", "v1,\u00e9", "x v1,y", "v1,=,", ",")),
        right | {"webhook-signature": right["webhook-signature"].replace("v1,", "v2,")},
        right | {"webhook-id": "msg_2"},
        *(right | {"webhook-timestamp": bad} for bad in ("x", "nan", "1e400", "-1", "9" * 5000, "\u0663")),
        by_service(body, "msg_1", "whsec_" + "A" * 32),
        by_service(body + b" ", "msg_1"),
        {"svix" + name.removeprefix("webhook"): value for name, value in right.items()},
    ]
    for headers in wrong:
        answer = await doors.post("/webhooks/generic/crm", body, headers)
        assert answer.status_code == 401, headers
    assert (await doors.post("/webhooks/generic/crm", b"\xff", right)).status_code == 401
    assert doors.sent == []
    several = f"v1,{'A' * 43}= v1a,AAAA {right['webhook-signature']}"
    assert (await doors.post("/webhooks/generic/crm", body, right | {"webhook-signature": several})).status_code == 200


async def test_a_name_that_is_not_configured_does_not_exist(doors: Doors, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("erp", "CRM", "crm%00", "stripe", "customer", "a" * 5000, "crm%0a", "%F0%9F%99%82"):
        answer = await doors.service(CONTACT_CREATED, name=name)
        assert (answer.status_code, answer.json()) == (404, {"detail": "no service of this name is configured"})
    assert doors.sent == []
    assert "erp" not in caplog.text


async def test_a_type_or_data_that_no_event_can_have_is_malformed(doors: Doors) -> None:
    types: list[Any] = [None, "", 7, "a b", "a/b", "a..b", ".a", "a\r\nb", "a\0", "\ud800", "x" * 129, "a\n"]
    datas: list[Any] = [[], "x", 7, True]
    for message in [
        *({"type": bad} for bad in types),
        *({"type": "a", "data": bad} for bad in datas),
        {},
        {"data": {}},
    ]:
        assert (await doors.service(message)).status_code == 400, message
    assert doors.sent == []


@pytest.mark.parametrize("message_id", ["a b", "\u00e9", "x" * 201, "a\0"])
async def test_an_id_that_no_event_can_have_is_malformed(doors: Doors, message_id: str) -> None:
    assert (await doors.service(CONTACT_CREATED, message_id)).status_code in {400, 401}
    assert doors.sent == []


async def test_what_postgres_cannot_store_is_made_harmless(doors: Doors) -> None:
    body = b'{"type": "a", "data": {"x\\u0000": ["\\ud800", {"y": "\\u0000z"}], "n": [1e999, NaN]}}'
    assert (await doors.service(body)).status_code == 200
    assert doors.sent[0]["data"] == {"x\ufffd": ["\ufffd", {"y": "\ufffdz"}], "n": ["inf", "nan"]}


async def test_data_that_is_nested_deeper_than_an_event_can_be_sent_is_malformed(doors: Doors) -> None:
    """The SDK gives up at 255 levels, for which the service would be asked to repeat for days."""
    for levels, status in ((63, 200), (64, 400), (300, 400), (5_000, 400), (400_000, 400)):
        body = b'{"type": "a", "data": {"x": ' + b"[" * (levels - 2) + b"1" + b"]" * (levels - 2) + b"}}"
        answer = await doors.service(body)
        assert answer.status_code == status, levels
        if status == 400:
            assert answer.json() == {"detail": "the body is nested too deeply"}
    assert len(doors.sent) == 1


async def test_while_a_service_rolls_its_secret_both_open_the_door(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = "whsec_" + "B" * 32
    monkeypatch.setenv("GENERIC_WEBHOOKS", f"crm={CRM_SECRET} crm={new} erp=whsec_{'C' * 32}")
    rolling = Doors()
    for secret in (CRM_SECRET, new):
        assert (await rolling.service(CONTACT_CREATED, secret=secret)).status_code == 200
    assert (await rolling.service(CONTACT_CREATED, secret="whsec_" + "C" * 32)).status_code == 401
    assert (await rolling.service(CONTACT_CREATED, name="erp", secret=CRM_SECRET)).status_code == 401


# Both


async def test_a_door_that_is_not_configured_asks_to_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    closed = Doors(dev=True)
    answer = await closed.stripe(FAILED)
    assert (answer.status_code, answer.json()) == (503, {"detail": "not configured: set STRIPE_WEBHOOK_SECRET"})
    assert (await closed.service(CONTACT_CREATED)).status_code == 404
    assert closed.sent == []


async def test_an_engine_that_is_away_costs_a_repetition(doors: Doors) -> None:
    doors.engine_is_down = True
    answers = [await doors.stripe(FAILED), await doors.service(CONTACT_CREATED)]
    assert [(answer.status_code, answer.headers["retry-after"]) for answer in answers] == [(503, "30")] * 2
    doors.engine_is_down = False
    answers = [await doors.stripe(FAILED), await doors.service(CONTACT_CREATED)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(doors.sent) == 2


async def test_a_refusal_repeats_no_secret_and_no_body(doors: Doors, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        answers = [
            await doors.post("/webhooks/stripe", FAILED, {"Stripe-Signature": "t=1,v1=deadbeef"}),
            await doors.stripe(FAILED | {"id": "4242 4242"}),
            await doors.post("/webhooks/generic/crm", {"type": "4242"}, {"webhook-id": "deadbeef"}),
            await doors.service({"type": "4242 4242"}),
        ]
    assert [answer.status_code for answer in answers] == [401, 400, 401, 400]
    told = "".join(answer.text for answer in answers) + caplog.text
    assert not [secret for secret in ("deadbeef", "4242", STRIPE_SECRET, CRM_SECRET) if secret in told]
    ours = [record for record in caplog.records if record.name == "customer-support"]
    assert [record.levelname for record in ours] == ["WARNING"] * 4
