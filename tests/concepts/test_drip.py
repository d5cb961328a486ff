"""A drip campaign proven by what was sent. Runs without a database, a model or a network."""

from concepts import outside
from tests.concepts.shelf import Shelf

FUNCTION = "onboarding/drip-campaign"
USER, ANOTHER = {"user_id": "user_1"}, {"user_id": "user_2"}


def letters(user: dict[str, str] = USER) -> list[str]:
    return [letter for to, letter in outside.asked("send_mail") if to == user["user_id"]]


async def test_silence_brings_three_letters_one_and_three_days_apart(shelf: Shelf) -> None:
    await shelf.send("user/signed-up", USER)
    await shelf.asked("send_mail", 1)
    for hours, count in ((23, 1), (2, 2), (70, 2), (2, 3)):
        await shelf.advance(hours=hours)
        assert len(letters()) == count
    assert await shelf.outputs(FUNCTION) == [{"status": "completed", "emails_sent": 3}]
    assert letters() == ["welcome", "tips", "features"]


async def test_whoever_buys_gets_no_further_letter(shelf: Shelf) -> None:
    await shelf.send("user/signed-up", USER)
    await shelf.send("user/signed-up", ANOTHER)
    await shelf.asked("send_mail", 2)
    await shelf.advance(hours=25)
    await shelf.asked("send_mail", 4)
    await shelf.send("user/bought", USER)
    assert await shelf.outputs(FUNCTION) == [{"status": "bought", "emails_sent": 2}]
    await shelf.advance(days=30)
    assert (letters(), letters(ANOTHER)) == (["welcome", "tips"], ["welcome", "tips", "features"])


async def test_whoever_unsubscribes_hears_nothing_again(shelf: Shelf) -> None:
    await shelf.send("user/signed-up", USER)
    await shelf.send("user/signed-up", ANOTHER)
    await shelf.asked("send_mail", 2)
    await shelf.settle()
    await shelf.send("user/unsubscribed", USER)
    await shelf.ended(FUNCTION, "CANCELLED")
    await shelf.advance(days=5)
    await shelf.ended(FUNCTION)
    assert (letters(), letters(ANOTHER)) == (["welcome"], ["welcome", "tips", "features"])
