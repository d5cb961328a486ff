"""`python -m tests.right_builds.shop "text of an email"` answers one email."""

import asyncio
import sys

from tests.right_builds.shop.assistant import Assistant
from tests.right_builds.shop.models import Did, create_tables, write


async def main() -> None:
    await create_tables()
    await write(Did.GOT_MAIL, 1, sys.argv[1])
    answered = await Assistant(1).read(sys.argv[1])
    print(answered["answer"] or "A human has to confirm this first.")


asyncio.run(main())
