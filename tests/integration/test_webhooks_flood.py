"""Thousands of requests that prove nothing, or prove who sent nonsense: the right status, no row, no event, never 500.

Runs without any account. Each example is one request.
"""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.adversary.profile import PROFILE
from tests.providers import AUTH, POSTMARK, REFUND, SETTINGS, Webhooks, basic, by_stripe, rows, stripe_event

pytestmark = pytest.mark.usefixtures("database")
MANY = settings(PROFILE, max_examples=max(400, PROFILE.max_examples))
HOSTILE = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(
    ["\0", "\ud800", "a\r\nb: c", "\u202e", "x" * 100_000, "' or 1=1 --", "{{7*7}}", "<script>", "../..", "%00"]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | HOSTILE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(HOSTILE, inner, max_size=4),
    max_leaves=10,
)
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
NOISE = st.binary(max_size=200) | st.sampled_from(
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        DEEP,
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": NaN}',
        b"\xff\xfe{\0}\0",
    ]
)
HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60)


def mangled(message: dict[str, Any]) -> st.SearchStrategy[Any]:
    """The message with anything at one place in it, or without that place."""
    places: list[tuple[str | int, ...]] = []

    def walk(value: Any, place: tuple[str | int, ...]) -> None:
        places.append(place)
        for name, inner in (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        ):
            walk(inner, (*place, name))

    walk(message, ())

    def changed(place: tuple[str | int, ...], new: Any, drop: bool) -> Any:
        if not place:
            return new
        copy = json.loads(json.dumps(message))
        inner = copy
        for step in place[:-1]:
            inner = inner[step]
        if drop:
            del inner[place[-1]]
        else:
            inner[place[-1]] = new
        return copy

    return st.builds(changed, st.sampled_from(places), ANYTHING, st.booleans())


def on_the_wire(message: Any) -> bytes:
    """JSON as a careless sender writes it: half surrogate pairs, NaN and all."""
    return json.dumps(message).encode()


@pytest.fixture
def webhooks(monkeypatch: pytest.MonkeyPatch) -> Webhooks:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    return Webhooks()


@MANY
@given(body=NOISE | mangled(POSTMARK).map(on_the_wire), header=HEADER)
async def test_whoever_proves_nothing_changes_nothing(webhooks: Webhooks, body: bytes, header: str) -> None:
    forged = {"authorization": header, "stripe-signature": header}
    for path in ("/webhooks/email", "/webhooks/stripe"):
        assert (await webhooks.post(path, body, forged)).status_code == 401
        assert (await webhooks.post(path, body)).status_code == 401
    assert webhooks.sent == []
    assert await rows() == 0


async def passes(webhooks: Webhooks, path: str, body: bytes, headers: dict[str, str]) -> None:
    """One request that proves who sent it: taken with one event that can be sent and stored, or refused with none."""
    webhooks.sent.clear()
    answer = await webhooks.post(path, body, headers)
    assert answer.status_code in {200, 400}
    assert len(webhooks.sent) == (answer.json() == {"status": "accepted"})
    if answer.status_code == 400:
        assert len(answer.json()["detail"]) < 300
    for event in webhooks.sent:
        # Raises for half a surrogate pair, and for NaN.
        stored = json.dumps(event, ensure_ascii=False, allow_nan=False).encode()
        assert b"\\u0000" not in stored
        assert event["id"].isprintable()
        assert event["name"].startswith(("customer/email.", "stripe/charge."))


@MANY
@given(body=NOISE | mangled(POSTMARK).map(on_the_wire) | ANYTHING.map(on_the_wire))
@example(DEEP)
async def test_an_email_is_taken_whole_or_refused(webhooks: Webhooks, body: bytes) -> None:
    await passes(webhooks, "/webhooks/email", body, {"authorization": basic(AUTH)})
    assert await rows() == 0


@MANY
@given(body=NOISE | mangled(stripe_event("refund.failed", REFUND)).map(on_the_wire) | ANYTHING.map(on_the_wire))
@example(DEEP)
async def test_an_event_of_stripes_is_taken_whole_or_refused(webhooks: Webhooks, body: bytes) -> None:
    try:
        signature = by_stripe(body)
    except UnicodeDecodeError:
        # A body that is not text cannot be signed, so it is not from Stripe.
        assert (await webhooks.post("/webhooks/stripe", body, by_stripe(b"{}"))).status_code == 401
    else:
        await passes(webhooks, "/webhooks/stripe", body, signature)
    assert await rows() == 0


async def test_a_thousand_replays_of_an_outdated_message_change_nothing(webhooks: Webhooks) -> None:
    body = on_the_wire(stripe_event("refund.failed", REFUND))
    old = by_stripe(body, age=301)
    for _ in range(1000):
        assert (await webhooks.post("/webhooks/stripe", body, old)).status_code == 401
    assert webhooks.sent == []
    assert await rows() == 0
