"""Old texts are erased every night, if RETENTION_DAYS says when they are old."""

from typing import Any

import inngest

import settings
from people import erase


def functions(client: inngest.Inngest) -> list[inngest.Function[Any]]:
    """`erase-old-texts`."""

    @client.create_function(fn_id="erase-old-texts", trigger=inngest.TriggerCron(cron="30 3 * * *"))
    async def erase_old_texts(ctx: inngest.Context) -> None:
        """Erase emails, replies and reasons whose time is up, some thousands at a time."""
        while await ctx.step.run("erase-some", erase_some):
            pass

    return [erase_old_texts]


async def erase_some() -> bool:
    """Erase what is older than RETENTION_DAYS; whether there may be more. Without the setting nothing is erased."""
    days = settings.retention_days()
    return days is not None and await erase.old_texts(days) >= erase.MOST_AT_ONCE
