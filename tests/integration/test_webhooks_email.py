"""The email webhook: what a provider posts becomes one event, and no email is lost or answered in circles."""

import json
import logging
from contextlib import AsyncExitStack
from typing import Any

import pytest

import db
import inngest_app
from outbound import mail
from tests.providers import AUTH, POSTMARK, SETTINGS, Webhooks, basic
from web.webhooks import inbound_email, routes

pytestmark = pytest.mark.usefixtures("database")
ADA = {"FromFull": {"Email": "ada@example.com", "Name": "Ada"}}
PLAIN = {"from": "grace@example.com", "text": "Where is my order?", "message_id": "m-1"}


@pytest.fixture
def webhooks(monkeypatch: pytest.MonkeyPatch) -> Webhooks:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    return Webhooks()


async def received(webhooks: Webhooks, **changed: Any) -> dict[str, Any]:
    """The data of the event that Postmark's sample from Ada becomes, with these changes."""
    answer = await webhooks.email(POSTMARK | ADA | changed)
    assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
    (event,) = webhooks.sent
    webhooks.sent.clear()
    # The next one is not this email again.
    await db.fetch("delete from inbox")
    return {"name": event["name"], **event["data"]}


async def text(webhooks: Webhooks, **changed: Any) -> str:
    return str((await received(webhooks, **changed))["email_text"])


async def test_postmarks_documented_sample_becomes_one_event(webhooks: Webhooks) -> None:
    """Exactly 200: every other answer makes Postmark repeat."""
    answer = await webhooks.email(POSTMARK)
    assert (answer.status_code, answer.json()) == (200, {"status": "accepted"})
    assert webhooks.sent == [
        {
            "id": inbound_email.event_id("support@postmarkapp.com", "73e6d360-66eb-11e1-8e72-a8904824019b"),
            "name": "customer/email.unmatched",
            "data": {
                "from": "support@postmarkapp.com",
                "subject": "Test subject",
                "email_text": "This is a test text body.",
                "reason": "the sender is not a customer",
            },
        }
    ]


async def test_the_same_sample_from_a_customer_is_an_email_to_answer(webhooks: Webhooks) -> None:
    assert await received(webhooks) == {
        "name": "customer/email.received",
        "customer_id": "cust_001",
        "email_text": "This is a test text body.",
        "message_id": POSTMARK["MessageID"],
        "from": "ada@example.com",
        "subject": "Test subject",
    }


async def test_the_plain_form_becomes_the_same_event(webhooks: Webhooks) -> None:
    await webhooks.email(PLAIN | {"subject": "Order", "in_reply_to": "<first@shop.example>"})
    await webhooks.email(PLAIN | {"text": None, "html": "<p>Where?</p>", "message_id": "<m-2@mail.example>"})
    assert webhooks.sent == [
        {
            "id": inbound_email.event_id("grace@example.com", "m-1"),
            "name": "customer/email.received",
            "data": {
                "customer_id": "cust_002",
                "email_text": "Where is my order?",
                "message_id": "m-1",
                "from": "grace@example.com",
                "subject": "Order",
                "references": "<first@shop.example>",
            },
        },
        {
            "id": inbound_email.event_id("grace@example.com", "<m-2@mail.example>"),
            "name": "customer/email.received",
            "data": {
                "customer_id": "cust_002",
                "email_text": "Where?",
                "message_id": "<m-2@mail.example>",
                "from": "grace@example.com",
            },
        },
    ]


@pytest.mark.parametrize("said", ["ADA@Example.COM", "ada@example.com", "Ada@EXAMPLE.com"])
async def test_a_customer_is_found_in_whatever_case_the_address_is_written(webhooks: Webhooks, said: str) -> None:
    assert (await received(webhooks, FromFull={"Email": said}))["customer_id"] == "cust_001"


async def test_a_customer_is_found_by_the_address_alone(webhooks: Webhooks) -> None:
    for said in ("Ada <ada@example.com>", '"grace@example.com" <ada@example.com>'):
        assert (await received(webhooks, FromFull={}, From=said))["customer_id"] == "cust_001"


@pytest.mark.parametrize(
    "said",
    [
        "",
        "ada",
        "ada@example.com\0",
        "ada@example.com, grace@example.com",
        "ada@example.com\r\nBcc: x@y.z",
        "ada@example.com" + "m" * 100_000,
        "a" * 100_000 + "@example.com",
        "\ud800@example.com",
        "' or 1=1 --@x",
    ],
    ids=lambda said: repr(said[:40]),
)
async def test_an_address_that_is_no_customers_is_for_a_person_to_look_at(webhooks: Webhooks, said: str) -> None:
    got = await received(webhooks, FromFull={"Email": said})
    assert got["name"] == "customer/email.unmatched"
    assert got["reason"] in {"the sender is not a customer", "the sender has no usable address"}
    assert len(got["from"]) <= 320
    assert got["from"].isprintable()


async def test_an_address_longer_than_any_is_not_looked_up(webhooks: Webhooks) -> None:
    for letters, reason in ((308, "the sender is not a customer"), (309, "the sender has no usable address")):
        said = "a" * letters + "@example.com"
        assert (await received(webhooks, FromFull={"Email": said}))["reason"] == reason


async def test_an_address_that_two_customers_share_is_for_a_person_to_look_at(webhooks: Webhooks) -> None:
    await db.fetch("insert into customers values ('cust_006', 'Ada@Example.com', 'pro')")
    got = await received(webhooks)
    assert got["name"] == "customer/email.unmatched"
    assert got["reason"] == "more than one customer has this address"


async def test_an_automatic_reply_is_never_answered(webhooks: Webhooks) -> None:
    signs = [
        ("Auto-Submitted", "auto-replied"),
        ("auto-submitted", "auto-generated; x=y"),
        ("Auto-Submitted", ""),
        ("X-Auto-Response-Suppress", "DR, OOF, AutoReply"),
        ("X-Auto-Response-Suppress", "All"),
        ("Precedence", "bulk"),
        ("Precedence", "auto_reply"),
        ("PRECEDENCE", "List"),
        ("List-Id", "<news.x>"),
        ("Return-Path", "<>"),
        ("X-Autoreply", "yes"),
        ("AUTO_SUBMITTED ", "auto-replied"),
        ("List-Unsubscribe", "<mailto:x@y.example>"),
        ("X-Loop", "ada@example.com"),
        ("X-Autogenerated", "Reply"),
        ("X-Auto-Reply", "1"),
        ("X-Autoresponder", ""),
        ("X-Failed-Recipients", "ada@example.com"),
        ("Content-Type", "multipart/report; boundary=x"),
    ]
    for name, value in signs:
        got = await received(webhooks, Headers=[{"Name": name, "Value": value}])
        assert got["name"] == "customer/email.unmatched", (name, value)
        assert got["reason"] == "an automatic reply or a mailing list"
        assert got["email_text"] == "This is a test text body."
        await webhooks.email(PLAIN | {"headers": {name: value}})
        assert webhooks.sent.pop()["data"]["reason"] == "an automatic reply or a mailing list"
        await db.fetch("delete from inbox")


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic reply: Your order",
        "AUTO: I am away",
        "Auto-Reply: hello",
        "Out of Office Re: Your order",
        "Out of the office",
        "Automatische Antwort: Ihre Bestellung",
        "Abwesenheitsnotiz: Ihre Bestellung",
        "R\u00e9ponse automatique : commande",
        "Respuesta autom\u00e1tica: pedido",
        "\u81ea\u52d5\u5fdc\u7b54: \u6ce8\u6587",
        "\u81ea\u52d5\u8fd4\u4fe1: \u6ce8\u6587",
        "\uc790\ub3d9 \ud68c\uc2e0: \uc8fc\ubb38",
        "Automatyczna odpowied\u017a: zam\u00f3wienie",
        "Automatiskt svar: Din best\u00e4llning",
        "Otomatik yan\u0131t: sipari\u015f",
        "Undeliverable: Your order",
        "Undelivered Mail Returned to Sender",
        "Delivery Status Notification (Failure)",
        "Mail delivery failed: returning message to sender",
    ],
)
async def test_an_automatic_reply_is_known_by_its_subject(webhooks: Webhooks, subject: str) -> None:
    assert (await received(webhooks, Subject=subject))["reason"] == "an automatic reply or a mailing list"


async def test_a_subject_that_people_write_is_no_sign_of_a_machine(webhooks: Webhooks) -> None:
    for subject in ("Re: Your order", "My office chair is out of order", "Automatic umbrella A-1001", "Autumn coat"):
        assert (await received(webhooks, Subject=subject))["name"] == "customer/email.received", subject


async def test_a_null_sender_is_never_answered(webhooks: Webhooks) -> None:
    await webhooks.email(PLAIN | {"from": "<>"})
    await webhooks.email(PLAIN | {"message_id": "m-2", "headers": {"Return-Path": "<>"}})
    assert [event["name"] for event in webhooks.sent] == ["customer/email.unmatched"] * 2


async def test_a_sender_is_answered_ten_times_an_hour_whatever_the_headers_say(webhooks: Webhooks) -> None:
    for number in range(12):
        said = "Ada <ada@example.com>" if number % 2 else f"{number} <ADA@example.com>"
        await webhooks.email(PLAIN | {"from": said, "message_id": f"m-{number}"})
    names = [event["name"].removeprefix("customer/email.") for event in webhooks.sent]
    assert names == ["received"] * 10 + ["unmatched"] * 2
    assert webhooks.sent[-1]["data"]["reason"] == "this sender wrote more than 10 emails in an hour"
    await webhooks.email(PLAIN | {"message_id": "m-99"})
    assert webhooks.sent[-1]["name"] == "customer/email.received"
    await db.fetch("update inbox set received_at = received_at - interval '61 minutes'")
    await webhooks.email(PLAIN | {"from": "ada@example.com", "message_id": "m-100"})
    assert webhooks.sent[-1]["name"] == "customer/email.received"


async def test_an_email_that_is_delivered_again_is_the_same_event_whatever_has_happened_since(
    webhooks: Webhooks,
) -> None:
    await webhooks.email(PLAIN)
    await db.fetch("update customers set email = 'grace@elsewhere.example' where id = 'cust_002'")
    await webhooks.email(PLAIN)
    assert webhooks.sent[0] == webhooks.sent[1]
    assert len(await db.fetch("select from inbox")) == 1


async def test_two_senders_emails_with_one_message_id_are_two(webhooks: Webhooks) -> None:
    for sender in ("ada@example.com", "grace@example.com"):
        await webhooks.email(PLAIN | {"from": sender})
        await webhooks.email(POSTMARK | {"FromFull": {"Email": sender}})
    assert [event["data"]["customer_id"] for event in webhooks.sent] == ["cust_001", "cust_001", "cust_002", "cust_002"]
    assert len({event["id"] for event in webhooks.sent}) == 4


@pytest.mark.parametrize("said", ["l\u0130nus@example.com", "l\u0131nus@example.com", "\u212ainus@example.com"])
async def test_an_address_that_only_folds_to_a_customers_is_not_theirs(webhooks: Webhooks, said: str) -> None:
    await db.fetch("insert into customers values ('cust_006', 'kinus@example.com', 'pro')")
    assert (await received(webhooks, FromFull={"Email": said}))["reason"] == "the sender is not a customer"


async def test_the_providers_verdicts_on_the_sender_travel_with_the_email(webhooks: Webhooks) -> None:
    verdicts = [
        {"Name": "Received-SPF", "Value": "Pass (sender SPF authorized)\r\n identity=mailfrom"},
        {"Name": "Authentication-Results", "Value": "mx.provider; dkim=fail; dmarc=fail"},
        # A mail server puts its own above what the email brought.
        {"Name": "Authentication-Results", "Value": "mx.evil; dkim=pass"},
    ]
    expected = (
        "authentication-results: mx.provider; dkim=fail; dmarc=fail;"
        " received-spf: Pass (sender SPF authorized) identity=mailfrom"
    )
    assert (await received(webhooks, Headers=verdicts))["authentication"] == expected
    stranger = await received(webhooks, Headers=verdicts, FromFull={"Email": "x@example.net"})
    assert (stranger["name"], stranger["authentication"]) == ("customer/email.unmatched", expected)
    assert "authentication" not in await received(webhooks)


async def test_an_email_is_a_row_before_the_engine_has_it(webhooks: Webhooks) -> None:
    webhooks.engine_is_down = True
    assert (await webhooks.email(PLAIN)).status_code == 503
    [row] = await db.fetch("select sender, event from inbox")
    assert row["sender"] == "grace@example.com"
    webhooks.engine_is_down = False
    await webhooks.email(PLAIN)
    assert json.loads(row["event"]) == webhooks.sent[0]


async def test_a_mail_server_is_never_answered_even_as_a_customer(webhooks: Webhooks) -> None:
    for robot in ("MAILER-DAEMON@example.com", "postmaster@example.com"):
        await db.fetch("insert into customers values ($1, $1, 'pro')", robot)
        assert (await received(webhooks, FromFull={"Email": robot}))["name"] == "customer/email.unmatched"


async def test_one_sign_of_a_machine_is_enough_and_of_two_message_ids_the_first_counts(webhooks: Webhooks) -> None:
    precedence = [{"Name": "Precedence", "Value": "first-class"}, {"Name": "Precedence", "Value": "bulk"}]
    for headers in (precedence, precedence[::-1]):
        assert (await received(webhooks, Headers=headers))["name"] == "customer/email.unmatched"
    ids = [{"Name": "Message-ID", "Value": "<first@x>"}, {"Name": "Message-Id", "Value": "<second@x>"}]
    assert (await received(webhooks, Headers=ids))["message_id"] == "<first@x>"


async def test_of_headers_by_the_thousand_the_first_are_read(webhooks: Webhooks) -> None:
    """A million of them took 20 seconds and a gigabyte."""
    sign = {"Name": "Auto-Submitted", "Value": "auto-replied"}
    for before, name in ((499, "customer/email.unmatched"), (500, "customer/email.received")):
        headers = [*({"Name": "X", "Value": "y"} for _ in range(before)), sign]
        assert (await received(webhooks, Headers=headers))["name"] == name


async def test_headers_that_people_send_too_are_no_sign_of_a_machine(webhooks: Webhooks) -> None:
    for name, value in [
        ("Auto-Submitted", "no"),
        ("X-Auto-Response-Suppress", "DR, RN, NRN"),
        ("Precedence", "first-class"),
        ("Return-Path", "<ada@example.com>"),
        ("Content-Type", "multipart/alternative; boundary=report"),
    ]:
        got = await received(webhooks, Headers=[{"Name": name, "Value": value}])
        assert got["name"] == "customer/email.received", (name, value)


async def test_the_thread_is_kept_for_the_reply(webhooks: Webhooks) -> None:
    headers = [
        {"Name": "Message-ID", "Value": "<CAF=1@mail.example>"},
        {"Name": "In-Reply-To", "Value": "<b@x>"},
        {"Name": "References", "Value": "<a@x>\r\n <b@x>"},
    ]
    got = await received(webhooks, Headers=headers)
    assert (got["message_id"], got["references"]) == ("<CAF=1@mail.example>", "<a@x> <b@x>")
    assert (await received(webhooks, Headers=headers[:2]))["references"] == "<b@x>"


async def test_a_long_thread_keeps_its_beginning_and_its_end(webhooks: Webhooks) -> None:
    thread = " ".join(f"<{number}@x>" for number in range(500))
    kept = (await received(webhooks, Headers=[{"Name": "References", "Value": thread}]))["references"].split()
    assert (len(kept), kept[0], kept[1], kept[-1]) == (20, "<0@x>", "<481@x>", "<499@x>")


async def test_a_message_id_that_would_break_a_header_is_not_passed_on(webhooks: Webhooks) -> None:
    for bad in ("<a@x\r\nBcc: y@z>", "a@x", "<>", "<a b@x>", "<\u00e9@x>", "<" + "a" * 999 + "@x>"):
        headers = [{"Name": name, "Value": bad} for name in ("Message-ID", "References", "In-Reply-To")]
        got = await received(webhooks, Headers=headers)
        assert got["message_id"] == POSTMARK["MessageID"], bad
        assert "references" not in got


@pytest.mark.parametrize("blank", [None, "", " \r\n\t"])
async def test_html_is_read_only_when_there_is_no_text(webhooks: Webhooks, blank: str | None) -> None:
    assert await text(webhooks, TextBody=blank) == "This is a test html body."
    assert await text(webhooks) == "This is a test text body."


async def test_an_email_without_a_word_is_an_email_nonetheless(webhooks: Webhooks) -> None:
    for html in ("", "<p> </p><script>alert(1)</script>", None):
        assert await text(webhooks, TextBody="", HtmlBody=html) == "(The email had no text.)"


async def test_line_ends_are_one_kind_and_control_characters_are_gone(webhooks: Webhooks) -> None:
    got = await received(
        webhooks, TextBody="\ufeffHi\r\nthere\rAda\x00\x07\x1b[31m\ud800!", Subject="Re:\r\nBcc: x\u202e\0"
    )
    assert got["email_text"] == "\ufeffHi\nthere\nAda\ufffd[31m\ufffd!"
    assert got["subject"] == "Re: Bcc: x\ufffd"
    json.dumps(got).encode("utf-8")


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\u20ac", "\U0001f642", '"', "\n."])
async def test_a_long_text_is_cut_between_characters_and_says_so(webhooks: Webhooks, letter: str) -> None:
    # Most have fewer characters than the bound has bytes.
    got = await text(webhooks, TextBody=letter * (150_000 if letter.isascii() else 60_000))
    assert got.endswith(f"{letter}\n(The email was longer; the rest was left out.)")
    assert len(got.encode()) in range(99_990, 100_001)
    assert len(got) <= inngest_app.EMAIL_MAX_CHARS
    whole = (letter * 100_000).encode()[:100_000].decode(errors="ignore").strip()
    assert await text(webhooks, TextBody=whole) == whole


async def test_html_is_cut_too_and_says_so(webhooks: Webhooks) -> None:
    got = await text(webhooks, TextBody="", HtmlBody="<p>word</p>" * 20_000)
    assert got.count("word") == 5_000
    assert got.endswith("(The email was longer; the rest was left out.)")
    got = await text(webhooks, TextBody="", HtmlBody="<style>" + "x" * 2_000_000 + "</style>word")
    assert got == "(The email had no text.)\n(The email was longer; the rest was left out.)"


async def test_attachments_are_left_out_and_may_be_large(webhooks: Webhooks) -> None:
    attached = [{"Name": "x.bin", "Content": "A" * 45 * 2**20, "ContentType": "image/png", "ContentLength": 1}]
    got = await received(webhooks, Attachments=attached)
    assert len(json.dumps(got)) < 1_000


async def test_only_the_id_is_needed_and_nothing_that_is_not_read_can_be_wrong(webhooks: Webhooks) -> None:
    needed, wrong = set(), set()
    for field in [*POSTMARK, "RawEmail"]:
        without = {name: value for name, value in POSTMARK.items() if name != field}
        needed |= {field} if (await webhooks.email(without)).status_code == 400 else set()
        wrong |= {field} if (await webhooks.email(POSTMARK | {field: 7})).status_code == 400 else set()
    assert needed == {"MessageID"}
    assert wrong == {"From", "FromFull", "Subject", "MessageID", "TextBody", "HtmlBody", "Headers"}


async def test_an_id_that_cannot_be_an_events_is_refused(webhooks: Webhooks) -> None:
    for bad in ("", None, 7, "a b", "a\r\nb", "a\0", "\ud800", "x" * 201, ["a"], "\u00e9", "a\n"):
        for content in (POSTMARK | {"MessageID": bad}, PLAIN | {"message_id": bad}):
            assert (await webhooks.email(content)).status_code == 400, bad
    assert webhooks.sent == []


async def test_a_refusal_names_the_field_and_repeats_nothing_of_the_email(
    webhooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "my card is 4242"
    with caplog.at_level(logging.INFO):
        answers = [
            await webhooks.email(POSTMARK | {"MessageID": secret}),
            await webhooks.email(POSTMARK | {"TextBody": [secret]}),
            await webhooks.email(POSTMARK | {"Headers": [{"Name": secret, "Value": {secret: secret}}]}),
            await webhooks.email({secret: secret}),
            await webhooks.email(f'"{secret}'.encode()),
            await webhooks.email(f'["{secret}"]'.encode()),
        ]
    reasons = [answer.json()["detail"] for answer in answers]
    assert [answer.status_code for answer in answers] == [400] * 6
    assert reasons[0].startswith("MessageID: String should match pattern")
    assert reasons[1:] == [
        "TextBody: Input should be a valid string",
        "Headers.0.Value: Input should be a valid string",
        "from: Field required",
        "the body is not JSON",
        "the body is not a JSON object",
    ]
    assert secret not in "".join(reasons) + caplog.text
    assert [record.message for record in caplog.records if record.name == "customer-support"] == [
        f"Refused at the email webhook with 400: {reason}" for reason in reasons
    ]


async def test_without_the_password_nothing_is_read(webhooks: Webhooks) -> None:
    name, password = AUTH
    for auth in (None, (name, "wrong"), ("wrong", password), (name, ""), ("", ""), (f"{name}:", password)):
        answer = await webhooks.email(b"not even JSON", auth)
        assert answer.status_code == 401, auth
        assert answer.headers["www-authenticate"].startswith("Basic")
    # The last is the right one, of another scheme.
    for header in ("Basic", "Basic !", "Basic \u20ac", "", " ", "Basic Og==", basic(AUTH).replace("Basic", "Bearer")):
        answer = await webhooks.post("/webhooks/email", POSTMARK, {"authorization": header})
        assert answer.status_code == 401, header
    assert webhooks.sent == []


async def test_another_content_type_is_refused_because_any_web_page_could_send_it(webhooks: Webhooks) -> None:
    """A page needs nobody's leave to post a form or text/plain to a server on the reader's machine."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        headers = {"content-type": kind, "authorization": basic(AUTH)}
        answer = await webhooks.post("/webhooks/email", POSTMARK, headers)
        assert answer.status_code == 415
        headers["content-type"] = "Application/JSON; charset=utf-8"
        assert (await webhooks.post("/webhooks/email", POSTMARK, headers)).status_code == 200


async def test_in_dev_mode_it_is_open_without_a_password(monkeypatch: pytest.MonkeyPatch, webhooks: Webhooks) -> None:
    assert (await Webhooks(dev=True).email(PLAIN, auth=None)).status_code == 401
    monkeypatch.delenv("EMAIL_WEBHOOK_AUTH")
    learner = Webhooks(dev=True)
    assert (await learner.email(PLAIN, auth=None)).status_code == 200
    assert [event["name"] for event in learner.sent] == ["customer/email.received"]


async def test_outside_dev_mode_it_is_closed_until_it_has_a_password(
    monkeypatch: pytest.MonkeyPatch, webhooks: Webhooks
) -> None:
    monkeypatch.delenv("EMAIL_WEBHOOK_AUTH")
    closed = Webhooks()
    answer = await closed.email(PLAIN)
    assert (answer.status_code, answer.json()) == (503, {"detail": "not configured: set EMAIL_WEBHOOK_AUTH"})
    assert answer.headers["retry-after"] == "600"
    assert closed.sent == []


async def test_an_engine_that_is_away_costs_a_repetition_and_tells_no_secret(
    webhooks: Webhooks, caplog: pytest.LogCaptureFixture
) -> None:
    webhooks.engine_is_down = True
    answer = await webhooks.email(PLAIN)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert answer.json() == {"detail": "the event could not be sent (ConnectionError)"}
    assert "event-key-1234" not in caplog.text
    webhooks.engine_is_down = False
    assert (await webhooks.email(PLAIN)).status_code == 200
    assert [event["id"] for event in webhooks.sent] == [inbound_email.event_id("grace@example.com", "m-1")]


async def test_a_database_that_is_away_costs_a_repetition_and_tells_no_secret(
    webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await db.close()
    with monkeypatch.context() as away:
        away.setenv("DATABASE_URL", "postgresql://ada:s3cr3t@127.0.0.1:1/away")
        answer = await webhooks.email(PLAIN)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert answer.json() == {"detail": "the email could not be kept (ConnectionRefusedError)"}
    assert "s3cr3t" not in caplog.text
    assert webhooks.sent == []
    await db.close()
    assert (await webhooks.email(PLAIN)).status_code == 200


async def test_a_database_that_is_busy_costs_a_repetition(webhooks: Webhooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection is taken, and none comes back."""
    monkeypatch.setattr(routes, "LOOKUP_SECONDS", 0.1)
    async with AsyncExitStack() as taken:
        pool = await db.pool()
        for _ in range(pool.get_max_size()):
            await taken.enter_async_context(pool.acquire())
        answer = await webhooks.email(PLAIN)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert webhooks.sent == []
    assert (await webhooks.email(PLAIN)).status_code == 200


async def test_looking_a_customer_up_uses_the_index(webhooks: Webhooks) -> None:
    plan = await db.fetch("explain select id from customers where lower(email) = lower($1) limit 2", "ada@example.com")
    await db.fetch(
        "insert into customers select 'c' || n, 'c' || n || '@example.org', 'pro' from generate_series(1, 5000) n"
    )
    await db.fetch("analyze customers")
    plan = await db.fetch("explain select id from customers where lower(email) = lower($1) limit 2", "ada@example.com")
    assert "customers_address" in "".join(row["QUERY PLAN"] for row in plan)


def test_every_bound_fits_in_an_event() -> None:
    """The engine takes 256 KiB on its smallest plan; a quote or a line end takes two bytes in JSON."""
    ids = mail.MOST_REFERENCES * len(f"<{'a' * 200}@{'b' * 200}> ")
    assert 2 * inbound_email.TEXT_MAX_BYTES + 12 * inbound_email.SUBJECT_MAX_CHARS + ids < 256 * 1024
