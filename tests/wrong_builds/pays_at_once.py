"""The refund tool needs no approval: the worker pays at once. Run by itself, as D0's gate does."""

import asyncio

from agents import Agent

from tests.wrong_builds import worker


def without_approval() -> Agent[worker.Customer]:
    """The tool of an agent that asks nobody."""
    worker.issue_refund.needs_approval = False
    return worker.build_agent()


if __name__ == "__main__":
    asyncio.run(worker.main(without_approval))
