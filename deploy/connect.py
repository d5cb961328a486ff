"""`python -m deploy.connect`: run the functions over a connection that this process opens to the engine.

With INNGEST_CONNECT=1 the engine need not reach the app: the web process serves the desk and the webhooks, and one or
more of these do the work. On SIGTERM such a process takes no new step, finishes those it has, and ends. The idea is
explained in concepts/connect.py.
"""

import asyncio
import logging
import signal

from inngest.connect import connect

import db
from inngest_app import client, functions
from telemetry import hooks

# The SDK gives up after five tries to reach the engine, which take 20 seconds (seen in 0.5.19). The process must not.
PAUSE_SECONDS = 5
logger = logging.getLogger("customer-support")


async def run(stopped: asyncio.Event) -> None:
    """Stay connected until `stopped` is set, however often the SDK gives up, and then finish what has begun."""
    while not stopped.is_set():
        connection = connect([(client, functions)], shutdown_signals=[])
        working = asyncio.create_task(connection.start())
        stopping = asyncio.create_task(stopped.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if stopped.is_set():
            await connection.close()
        [ended] = await asyncio.gather(working, return_exceptions=True)
        if not stopped.is_set():
            logger.warning("The connection to the engine has ended, and is opened anew: %r", ended)
            await asyncio.wait([asyncio.create_task(stopped.wait())], timeout=PAUSE_SECONDS)


async def work(stopped: asyncio.Event) -> None:
    """Do the work with the metrics beside it. In the end write the last rows and close the pool."""
    try:
        async with hooks.metrics_meanwhile(), hooks.rows_written_in_the_end():
            await run(stopped)
    finally:
        await db.close()


async def main() -> None:
    """Run until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await work(stopped)


if __name__ == "__main__":
    asyncio.run(main())
