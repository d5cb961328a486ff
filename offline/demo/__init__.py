"""`python -m offline` shows the whole worker at work, and checks every claim that it makes about it."""

import argparse
import asyncio
import contextlib
import io
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import httpx
from rich.console import Console, RenderableType
from rich.text import Text

from gates.engine import EngineError
from gates.rows import RowsError
from offline.demo.claims import Claims
from offline.demo.engine import Engine
from offline.demo.records import Records
from offline.demo.stage import ActError, Stage
from offline.demo.story import Story
from offline.demo.timeline import Timeline, console_for
from offline.signals import end_on_signals
from offline.stack import RULE_BASED, Stack, StackError

STAND_IN_PATIENCE_SECONDS, OFFICIAL_PATIENCE_SECONDS, OPENAI_PATIENCE_SECONDS = 15.0, 45.0, 120.0
OPENAI = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "MODEL")
PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
# Nothing listens on port 9, so a model at this address fails at once.
NO_MODEL = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
SVG_WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the demo's options."""
    parser.add_argument("--engine", metavar="URL", help="use an official dev server that runs at URL")
    real = "openai: a real model, by OPENAI_API_KEY, OPENAI_BASE_URL and MODEL of the environment"
    parser.add_argument("--model", choices=["rule-based", "openai"], default="rule-based", help=real)
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument("--svg", metavar="FILE", type=Path, help="also draw the end as a picture")


def main(options: argparse.Namespace) -> int:
    """Play the story. Returns 0 when every claim holds, 1 when one does not, and 130 when it was interrupted."""
    console = console_for()
    try:
        return asyncio.run(_play(options, console))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("Stopped; nothing is left running.")
        return 130
    except (StackError, httpx.HTTPError, ValueError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


async def _play(options: argparse.Namespace, console: Console) -> int:
    end_on_signals()
    started = time.monotonic()
    settings, broken = RULE_BASED, {"MODEL": "rule-based:outage"}
    if options.model == "openai":
        settings, broken = _openai_settings(), NO_MODEL
    # The throttle is raised, so that concurrency alone limits the burst.
    settings = {"EMAIL_THROTTLE_PER_MINUTE": "6000", **settings}
    async with contextlib.AsyncExitStack() as running:
        with console.status("Starting Postgres, the engine and the app ..."):
            stack = await running.enter_async_context(Stack(settings, engine_url=(options.engine or "").rstrip("/")))
        records = await Records.open(stack.postgres.url)
        running.callback(records.close)
        engine = Engine(stack.engine_url, stack.http)
        await engine.meet()
        if options.engine:
            await records.rename_customers(uuid4().hex[:6])
        timeline, claims = Timeline(console), Claims()
        timeline.say(f"Postgres, engine and app are running (in {time.monotonic() - started:.1f} s).")
        with timeline:
            stage = Stage(stack, engine, records, timeline, _patience(options))
            await _acts(Story(stage, claims, broken), stage, claims)
        end = _end(timeline, claims, await records.actions(0), time.monotonic() - started)
        console.print(*end, sep="\n")
        if options.svg:
            _draw(options.svg, [*timeline.acts[1:2], *end])
        if options.keep:
            await _keep(stack, console)
    return 0 if claims.hold else 1


def _patience(options: argparse.Namespace) -> float:
    if options.model == "openai":
        return OPENAI_PATIENCE_SECONDS
    if options.engine:
        return OFFICIAL_PATIENCE_SECONDS
    return STAND_IN_PATIENCE_SECONDS


def _end(timeline: Timeline, claims: Claims, totals: Mapping[str, int], seconds: float) -> list[RenderableType]:
    counted = ", ".join(f"{count} {action}" for action, count in totals.items())
    verdict = "Every claim holds" if claims.hold else "NOT every claim holds"
    style = "bold green" if claims.hold else "bold red"
    return ["", timeline.table(claims), Text(f"\nAudit trail: {counted}"), Text(f"{verdict} ({seconds:.0f} s).", style)]


async def _acts(story: Story, stage: Stage, claims: Claims) -> None:
    for act in story.acts:
        try:
            await act()
        except (ActError, EngineError, RowsError, StackError, httpx.HTTPError) as error:
            stage.timeline.finish()
            stage.timeline.say(f"\nThis act failed.\n{error}\n{stage.stack.logs()}", "red")
            claims.check("", f"The act {act.__name__!r} is played to its end", "failed, see above", False)
            await stage.stack.restart_app()


async def _keep(stack: Stack, console: Console) -> None:
    places = {"app": stack.app_url, "engine": stack.engine_url, "Postgres": stack.postgres.url}
    lines = [f"  {name:<9}{url}" for name, url in places.items()]
    console.print("\nStill running, until Ctrl-C:", *lines, sep="\n", soft_wrap=True, highlight=False)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


def _openai_settings() -> dict[str, str]:
    if not os.environ.get("OPENAI_API_KEY"):
        raise ValueError("--model openai needs OPENAI_API_KEY (and takes OPENAI_BASE_URL and MODEL)")
    settings = {name: os.environ[name] for name in OPENAI + PROXIES if os.environ.get(name)}
    # What is on this machine is not asked for through a proxy.
    return settings | {"NO_PROXY": "127.0.0.1"}


def _draw(file: Path, parts: list[RenderableType]) -> None:
    picture = Console(record=True, width=SVG_WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for part in parts:
        picture.print(part)
    picture_text = picture.export_svg(title="make demo", unique_id="demo")
    file.parent.mkdir(parents=True, exist_ok=True)
    # A picture in a web page may not load a web font, so that is left out; the page's own monospaced font is used.
    file.write_text(re.sub(r"\s*@font-face {.*?}", "", picture_text, flags=re.DOTALL))
