"""The Quick Win proven by what was executed. Runs without a database, a model or a network."""

import pytest
from agents import Model, ModelProvider
from agents.testing import ModelStep, ScriptedModel, assistant_message

from concepts import outside
from tests.concepts.killable_shelf import apart
from tests.concepts.shelf import Shelf

ADA = {"name": "Ada"}
GREETING, FAREWELL = ("Ada", "Hello Ada!"), ("Ada", "Goodbye Ada!")
TRACE = "query($id: String!) { run(runID: $id) { trace { childrenSpans { name childrenSpans { name } } } } }"


@pytest.fixture(autouse=True)
def without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MODEL_PROVIDER")


class Provider(ModelProvider):
    """A model that has one greeting."""

    def get_model(self, model_name: str | None) -> Model:
        return ScriptedModel([ModelStep(output=[assistant_message("Welcome back, dear Ada!")])])


async def attempts(shelf: Shelf) -> tuple[int, int]:
    """How many attempts greeting and farewell of the only run have had."""
    [run] = await shelf.runs("greet-customer")
    trace = (await shelf.gql(TRACE, id=run.id))["run"]["trace"]
    # A step that succeeded at once is shown without its attempt.
    had = {step["name"]: len(step["childrenSpans"]) or 1 for step in trace["childrenSpans"]}
    return had["greeting"], had["farewell"]


async def test_the_farewell_comes_fifteen_seconds_after_the_greeting(shelf: Shelf) -> None:
    await shelf.send("demo/greet", ADA)
    assert await shelf.asked("send_mail", 1) == [GREETING]
    await shelf.advance(seconds=14)
    assert await shelf.asked("send_mail", 1) == [GREETING]
    await shelf.advance(seconds=1)
    assert await shelf.outputs("greet-customer") == [{"greeting": "Hello Ada!", "farewell": "Goodbye Ada!"}]
    assert outside.asked("send_mail") == [GREETING, FAREWELL]


async def test_four_broken_farewells_stand_beside_one_greeting_until_a_restart_heals_the_same_run(shelf: Shelf) -> None:
    async with apart() as program:
        await program.start(BREAK="farewell")
        await shelf.send("demo/greet", ADA)
        await shelf.asked("send_mail", 1)
        await shelf.advance(seconds=15)
        [broken] = await shelf.runs("greet-customer", "RUNNING")
        while (await attempts(shelf))[1] < 4:
            await shelf.advance(seconds=10)
        assert await attempts(shelf) == (1, 4)
        program.kill()
        await program.start()
        await shelf.past_retries()
        [healed] = await shelf.ended("greet-customer")
    assert healed.id == broken.id
    assert await attempts(shelf) == (1, 5)
    assert healed.output == {"greeting": "Hello Ada!", "farewell": "Goodbye Ada!"}
    assert outside.asked("send_mail") == [GREETING, FAREWELL]


async def test_the_agent_writes_the_greeting_when_there_is_a_model(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_PROVIDER", f"{__name__}:Provider")
    await shelf.send("demo/greet", ADA)
    assert await shelf.asked("send_mail", 1) == [("Ada", "Welcome back, dear Ada!")]


@pytest.mark.parametrize("key", ["", "sk-..."])
async def test_the_placeholder_of_a_key_is_no_model(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    await shelf.send("demo/greet", ADA)
    assert await shelf.asked("send_mail", 1) == [GREETING]
