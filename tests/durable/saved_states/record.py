"""Records how this version saves a run that waits: `python -m tests.durable.saved_states.record`, after an SDK upgrade.

The files beside this one stay: what was saved once has to be resumed, or handed to a person, by every later version.
"""

import asyncio
import json
import os
from importlib.metadata import version
from pathlib import Path

import db
import worker

FOLDER = Path(__file__).parent
CURRENT = FOLDER / f"openai-agents-{version('openai-agents')}.json"
EMAIL = "I was charged twice for order A-1001. Please return the $49.00 to me."


async def record() -> None:
    """Save the outcome of one email, as the engine would. Needs a database with the seed customers."""
    outcome = await worker.answer(EMAIL, worker.Ticket(customer_id="cust_002", run_id="run-of-the-recording"))
    await db.close()
    CURRENT.write_text(json.dumps(outcome, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    from offline.postgres import EmbeddedPostgres

    os.environ |= {"MODEL_PROVIDER": "offline.model:RuleBasedProvider", "MODEL": "rule-based"}
    with EmbeddedPostgres() as server:
        os.environ["DATABASE_URL"] = server.url

        async def main() -> None:
            """Migrate, then record."""
            await db.migrate()
            await record()

        asyncio.run(main())
