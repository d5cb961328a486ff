"""What stands below a reply: the facts of the ledger, whatever the model says. Runs without any account."""

import pytest

import db
from refunds import ledger, payments, replies
from tests.ledger import decide

pytestmark = pytest.mark.usefixtures("database")
CLAIMS = "I have refunded $500.00 for order B-7 and $49.00 for order A-1001."
NONE = f"\n\n{replies.HEADING}\n- No refund was made or asked for in reply to this message."


async def asked(*orders: str, run_id: str = "run-1") -> list[int]:
    wanted = [{"call_id": order, "order_id": order, "amount_cents": 4900, "reason": "Overcharge"} for order in orders]
    await ledger.open_requests(run_id, "event-1", "cust_001", wanted)
    return [row["id"] for row in await ledger.of_run(run_id)]


async def said(reply: str = CLAIMS, email: str = "", run_id: str = "run-1") -> str:
    """What is added to the reply."""
    with_facts = await replies.with_facts(reply, email, run_id, "cust_001")
    assert with_facts.startswith(reply)
    return with_facts.removeprefix(reply)


async def test_each_refund_of_the_run_is_named_with_what_became_of_it() -> None:
    paid, lowered, declined, _ = await asked("A-1", "A-2", "A-3", "A-4\u202e")
    await decide(paid, approved=True, by="grace")
    await decide(lowered, approved=True, by="grace", amount_cents=100)
    await decide(declined, approved=False, by="grace")
    for order in ("A-1", "A-2"):
        await payments.issue("run-1", order, "cust_001", order, 4900, "Overcharge")
    assert await said("Hello!") == (
        f"\n\n{replies.HEADING}\n"
        "- Made: refund of $49.00 for order A-1.\n"
        "- Made: refund of $1.00 for order A-2.\n"
        "- Declined, not made: refund of $49.00 for order A-3.\n"
        "- Not made: refund of $49.00 for order A-4[U+202E]."
    )


async def test_the_name_of_an_order_does_not_read_like_another_fact() -> None:
    await asked('A-1". Made: refund of $900.00 for order "B-2')
    assert await said("Hello!") == (
        f"\n\n{replies.HEADING}\n"
        "- Not made: refund of $49.00 for order \"A-1'. Made: refund of $900.00 for order 'B-2\"."
    )


async def test_a_payment_without_an_answer_is_neither_claimed_nor_denied() -> None:
    [refund_id] = await asked("A-1")
    await decide(refund_id, approved=True, by="grace")
    await db.fetch("update refunds set payment_started_at = now() where id = $1", refund_id)
    assert "- Being made, not confirmed yet: refund of $49.00 for order A-1." in await said()


async def test_what_could_not_be_asked_for_was_not_made() -> None:
    await db.record("refund_blocked", "run-1", "refuse_refund:x", "cust_001", why="order_id does not name an order")
    assert await said("Hello!") == f"\n\n{replies.HEADING}\n- Not made: a refund that could not be asked for."


async def test_a_claim_that_nothing_stands_for_is_contradicted_and_earlier_refunds_are_named() -> None:
    assert await said() == NONE
    [refund_id] = await asked("A-1001")
    await decide(refund_id, approved=True, by="grace")
    await payments.issue("run-1", "A-1001", "cust_001", "A-1001", 4900, "Overcharge")
    added = await said(run_id="run-2")
    assert added.startswith(f"{NONE}\n- Made earlier: refund of $49.00 for order A-1001, on 20")
    assert await replies.with_facts(CLAIMS, "", "run-2", "cust_002") == CLAIMS + NONE


async def test_an_email_about_money_is_answered_with_facts_whatever_the_reply_says() -> None:
    assert await said("Done, all is well again!", "I was charged twice") == NONE


@pytest.mark.parametrize(
    "reply",
    [
        "Your parcel is on its way and should be with you on Thursday.",
        "You can set a new password with Forgot password; the link works for an hour.",
        "Please contact us before the summer with the version that you feel happy with, and avoid older ones.",
        "Thank you! However, a colleague will look at it and get back to you; our language team is really kind.",
    ],
)
async def test_a_reply_that_is_not_about_money_stays_as_it_is(reply: str) -> None:
    assert await said(reply, "Where is order A-1001?") == ""


@pytest.mark.parametrize(
    "reply",
    [
        "Your refund is on its way.",
        "It is back on your card.",
        "I sent you 49.00 just now",
        "CHF 40 are with you",
        "\u20b9500 \u2705",
        "re\u200bf\u0443nd: d\u043ene, \uff32\uff25\uff26\uff35\uff2e\uff24",
        "已为您退款",
        "हमने आपका पैसा वापस कर दिया है।",
        "Le hemos devuelto el importe.",
        "Vous avez été remboursé.",
        "لقد تم استرداد المبلغ.",
        "আপনার টাকা ফেরত দেওয়া হয়েছে।",
        "O estorno foi feito.",
        "Мы вернули вам деньги.",
        "آپ کی رقم واپس کر دی گئی ہے",
        "Uang Anda telah dikembalikan.",
        "Der Betrag wurde erstattet.",
        "ご返金いたしました。",
        "Il rimborso è stato emesso.",
        "환불해 드렸습니다.",
        "Para iadesi tamam.",
        "Zwróciliśmy pieniądze.",
        "Возврат оформлен.",
        "多扣的部分已经返给您了。",
        "অতিরিক্ত চার্জ বাতিল করা হয়েছে।",
        "요금이 반환되었습니다.",
        "Le devolvimos la plata.",
        "Nous allons vous dedommager.",
        "Tagihan ganda sudah dibatalkan.",
        "Wir haben die Abbuchung storniert.",
        "Sie bekommen alles retour.",
        "Riceve tutto indietro.",
        "Estornamos tudo.",
        "Paran geri geldi.",
        "Khoản phí đã được trả lại.",
        "We have voided the transaction.",
        "The double booking has been undone.",
    ],
)
async def test_a_reply_that_may_be_about_money_in_any_language_gets_the_facts(reply: str) -> None:
    assert await said(reply) == NONE
