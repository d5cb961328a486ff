"""A drip campaign proven by what was sent. Runs without a database, a model or a network."""

from concepts import outside
from tests.concepts.shelf import Shelf

FUNCTION = "drip-campaign"
CUSTOMER, ANOTHER = {"customer_id": "cust_001"}, {"customer_id": "cust_002"}


def letters(customer: dict[str, str] = CUSTOMER) -> list[str]:
    return [letter for to, letter in outside.asked("send_mail") if to == customer["customer_id"]]


async def test_silence_brings_three_letters_two_and_three_days_apart(shelf: Shelf) -> None:
    await shelf.send("concepts/drip.signed_up", CUSTOMER)
    await shelf.asked("send_mail", 1)
    await shelf.advance(days=1, hours=23)
    await shelf.asked("send_mail", 1)
    await shelf.advance(hours=1)
    await shelf.asked("send_mail", 2)
    await shelf.advance(days=2, hours=23)
    await shelf.asked("send_mail", 2)
    await shelf.advance(hours=1)
    await shelf.asked("send_mail", 3)
    await shelf.advance(days=7)
    assert await shelf.outputs(FUNCTION) == ["never bought"]
    assert letters() == ["welcome", "tips", "offer"]


async def test_whoever_buys_is_thanked_and_gets_no_further_letter(shelf: Shelf) -> None:
    await shelf.send("concepts/drip.signed_up", CUSTOMER)
    await shelf.asked("send_mail", 1)
    await shelf.settle()
    await shelf.send("concepts/drip.bought", CUSTOMER)
    assert await shelf.outputs(FUNCTION) == ["bought after welcome"]
    assert letters() == ["welcome", "thanks"]


async def test_after_a_purchase_days_bring_nothing_more(shelf: Shelf) -> None:
    await shelf.send("concepts/drip.signed_up", CUSTOMER)
    await shelf.asked("send_mail", 1)
    await shelf.advance(days=2)
    await shelf.asked("send_mail", 2)
    await shelf.send("concepts/drip.bought", CUSTOMER)
    assert await shelf.outputs(FUNCTION) == ["bought after tips"]
    await shelf.advance(days=30)
    assert letters() == ["welcome", "tips", "thanks"]


async def test_one_customers_purchase_ends_nobody_elses_campaign(shelf: Shelf) -> None:
    await shelf.send("concepts/drip.signed_up", CUSTOMER)
    await shelf.send("concepts/drip.signed_up", ANOTHER)
    await shelf.asked("send_mail", 2)
    await shelf.settle()
    await shelf.send("concepts/drip.bought", ANOTHER)
    assert await shelf.outputs(FUNCTION) == ["bought after welcome"]
    await shelf.advance(days=2)
    await shelf.asked("send_mail", 4)
    assert (letters(), letters(ANOTHER)) == (["welcome", "tips"], ["welcome", "thanks"])


async def test_whoever_unsubscribes_hears_nothing_again_not_even_thanks(shelf: Shelf) -> None:
    await shelf.send("concepts/drip.signed_up", CUSTOMER)
    await shelf.send("concepts/drip.signed_up", ANOTHER)
    await shelf.asked("send_mail", 2)
    await shelf.settle()
    await shelf.send("concepts/drip.unsubscribed", CUSTOMER)
    await shelf.ended(FUNCTION, "CANCELLED")
    await shelf.send("concepts/drip.bought", CUSTOMER)
    await shelf.send("concepts/drip.bought", ANOTHER)
    await shelf.ended(FUNCTION)
    await shelf.settle()
    assert (letters(), letters(ANOTHER)) == (["welcome"], ["welcome", "thanks"])
