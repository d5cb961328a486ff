"""The agent has no refund tool: it answers in words, and never pauses. Run by itself, as D0's gate does."""

import asyncio

from agents import Agent

from tests.wrong_builds import worker


def in_words_only() -> Agent[worker.Customer]:
    """An agent that can only look customers up."""
    return Agent(name="support", instructions="Answer the email.", tools=[worker.lookup_customer])


if __name__ == "__main__":
    asyncio.run(worker.main(in_words_only))
