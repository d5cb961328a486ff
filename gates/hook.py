"""The hook: two lines that a build may carry, so that the gates see it die between two steps and an approval expire.

Both read the environment. The gates read the same names from the same `.env`, and so know what the build was told.
"""

import asyncio
from pathlib import Path

import httpx

from gates.engine import Engine
from gates.report import Report

APPROVAL_SECONDS = 'timeout=timedelta(seconds=float(os.environ.get("APPROVAL_SECONDS") or 4 * 3600))'
# The step in which the process dies at the first attempt, so that it dies once in each run.
DIE = "die"
NO_DEATH = (
    f'carry `if os.environ.get("DIE_AFTER") == "{{0}}": await ctx.step.run("{DIE}", lambda: ctx.attempt == 0 and '
    "os._exit(1))` right after the step {0}, put DIE_AFTER={0} into .env, and start the app again with --reload"
)
STILL_ALIVE = "DIE_AFTER is set, but the process did not die: is the line there, and was the app started again since?"
NO_EXPIRY = (
    f"this engine's clock cannot be moved: let the wait have `{APPROVAL_SECONDS}`, put APPROVAL_SECONDS=60 into .env, "
    "and start the app again"
)
NOT_READ = "APPROVAL_SECONDS is set, but the wait is longer: does it read it, and was the app started again since?"
ANSWER_SECONDS = 3
RELOAD_SECONDS = 30
START_SECONDS = 90


class Pulse:
    """Whether the build's process still answers. One that has died is started again, by `uvicorn --reload`.

    `file` is one of the build's own: the reloader starts the app again when it is touched.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self.deaths = 0
        self._alive: set[str] = set()

    async def feel(self, engine: Engine, report: Report) -> bool:
        """Look after the apps that the engine calls. Returns whether one had died; then it is back, or time is up.

        An app that never answered is none of this build's.
        """
        async with httpx.AsyncClient(trust_env=False, timeout=ANSWER_SECONDS) as http:
            silent = [url for url in (await engine.app_urls()).values() if not await self._answers(http, url)]
            died = [url for url in silent if url in self._alive]
            for url in died:
                self.deaths += 1
                await self._revive(http, url, report)
        return bool(died)

    async def _answers(self, http: httpx.AsyncClient, url: str) -> bool:
        # A reloader whose app has died still takes connections, and answers none of them.
        try:
            await http.get(url)
        except httpx.HTTPError:
            return False
        self._alive.add(url)
        return True

    async def _revive(self, http: httpx.AsyncClient, url: str, report: Report) -> None:
        report.say(f"its process has died, as DIE_AFTER told it; touching {self.file} so that --reload starts it again")
        if self.file is not None:
            self.file.touch()
        loop = asyncio.get_running_loop()
        begun, asked = loop.time(), False
        while not await self._answers(http, url) and loop.time() - begun < START_SECONDS:
            if not asked and loop.time() - begun > RELOAD_SECONDS:
                asked = True
                report.say("it does not come back: start it again, as you did before")
            await asyncio.sleep(0.25)
