"""Step chaining proven by what was executed. Runs without a database, a model or a network."""

from functools import partial

import httpx

from concepts import outside
from tests.concepts.shelf import Shelf

FUNCTION = "leads/process-new-lead"
LEAD = {"lead_id": "lead_1", "lead": {"message": "Call me!"}}


def called() -> list[str]:
    """What the chain asked of the world. `leads/initial` counts the same lead, and its follow-up comes a day later."""
    return [name for name, _ in outside.calls if name != "count"]


async def test_each_link_takes_what_the_link_before_returned(shelf: Shelf) -> None:
    await shelf.send("api/new-lead", LEAD)
    assert await shelf.outputs(FUNCTION) == [{"status": "completed", "lead_id": "lead_1", "method": "phone"}]
    offer, choice, script = outside.asked("ask_model")
    assert offer.startswith("Offer for standard")
    assert choice == f"Phone or email? answer 1 to: {offer}"
    assert script == f"Prepare a call: answer 1 to: {offer}"
    assert called() == ["look_up", *["ask_model"] * 3, "tell_team"]


async def test_the_branch_stays_what_it_was_though_the_model_would_now_say_otherwise(shelf: Shelf) -> None:
    outside.fail("tell_team", ConnectionError("the phone is busy"))
    await shelf.send("api/new-lead", LEAD)
    await shelf.until(lambda: outside.asked("tell_team") != [])
    await shelf.past_retries()
    await shelf.ended(FUNCTION)
    assert called() == ["look_up", *["ask_model"] * 3, *["tell_team"] * 2]


async def test_the_other_branch_writes_an_email(shelf: Shelf) -> None:
    await outside.ask_model("so that the next choice is the other one")
    await shelf.send("api/new-lead", LEAD)
    await shelf.ended(FUNCTION)
    assert (len(outside.asked("send_mail")), outside.asked("tell_team")) == (1, [])


async def test_chosen_in_passing_the_call_is_prepared_and_an_email_is_written(shelf: Shelf) -> None:
    await outside.ask_model("so that the first choice is the phone")
    await shelf.send("concepts/chaining.in_passing", LEAD)
    await shelf.settle()
    prompts = [prompt.split()[0] for prompt in outside.asked("ask_model")]
    assert {"Prepare", "Write:"} <= set(prompts)
    await shelf.until(partial(shelf.runs, "leads/process-wrong", "FAILED"), [])


async def test_a_form_sent_twice_is_saved_first_and_worked_on_once(shelf: Shelf, shelf_url: str) -> None:
    form = {"id": "form-7", "message": "Call me!"}
    async with httpx.AsyncClient(base_url=shelf_url, trust_env=False) as http:
        for _ in range(2):
            answer = await http.post("/leads", json=form)
            assert answer.json() == {"lead_id": "form-7", "status": "workflow_triggered"}
    await shelf.ended(FUNCTION)
    await shelf.settle()
    assert (outside.calls[0], len(await shelf.runs(FUNCTION))) == (("store", {"lead-form-7": form}), 1)
