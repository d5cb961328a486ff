"""A model that takes its time, and writes down what it was asked. MODEL says how long, and where: `5:/tmp/asked`."""

import asyncio
from pathlib import Path

from agents import Model, ModelProvider

from offline.model import RuleBasedModel
from offline.rules import Answer, Turn, good


class SlowProvider(ModelProvider):
    """Finds the model that MODEL describes."""

    def get_model(self, model_name: str | None) -> Model:
        seconds, _, file = (model_name or "").partition(":")

        async def slowly(turn: Turn) -> Answer:
            write_down(Path(file), f"{len(turn.calls)} {turn.email}")
            await asyncio.sleep(float(seconds))
            answer: Answer = good(turn)
            return answer

        return RuleBasedModel("slow", slowly)


def write_down(file: Path, asked: str) -> None:
    """Add a line. Several processes do it at once."""
    with file.open("a") as lines:
        lines.write(" ".join(asked.split()) + "\n")
