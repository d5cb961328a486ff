"""Resumed without its context: the tool fails, the model apologises, and the run is called a success."""

from typing import Any

from agents import RunState

from tests.wrong_builds.learner import RIGHT
from tests.wrong_builds.worker import Customer, build_agent, decided


async def without_context(saved: dict[str, Any], who: Customer, approved: bool, email: str) -> dict[str, Any]:
    """The context is not given back."""
    saved = saved | {"context": saved["context"] | {"context": {}}}
    state: RunState[Customer] = await RunState.from_json(build_agent(), saved)
    return await decided(state, approved)


BUILD = RIGHT.but(resume=without_context)
