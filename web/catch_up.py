"""Tells the engine, when the app starts, what was decided at the desk while the engine or the app was away."""

import asyncio
import logging

from web import Send
from web.desk import routes

PAUSE_SECONDS = 15
logger = logging.getLogger("customer-support")


async def resend_decided(send: Send) -> None:
    """Send again every decision that no run has acted on; as often as it takes, engine and database may still start."""
    while True:
        try:
            count = await routes.resend_decided(send)
        except Exception as error:
            logger.warning("Decisions could not be sent again yet: %s", type(error).__name__)
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            logger.info("%d decisions were sent again", count)
            return
