"""`python -m offline`: the whole worker at work, driven, shown and checked."""

from __future__ import annotations

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
from typing import get_args
from uuid import uuid4

import httpx
from rich.console import Console, RenderableType
from rich.text import Text

from db import AuditAction
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

STAND_IN_PATIENCE, OFFICIAL_PATIENCE, OPENAI_PATIENCE = 15.0, 45.0, 120.0
OPENAI = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "MODEL")
PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
# Nobody listens on the discard port.
NO_MODEL = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
SVG_WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the demo can be told."""
    parser.add_argument("--engine", metavar="URL", help="use an official dev server that runs at URL")
    parser.add_argument(
        "--model", choices=["rule-based", "openai"], default="rule-based",
        help="openai: a real model, by OPENAI_API_KEY, OPENAI_BASE_URL and MODEL of the environment",
    )  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument("--svg", metavar="FILE", type=Path, help="also draw the end as a picture")


def main(options: argparse.Namespace) -> int:
    """Play the story. Returns 0 when every claim holds, 1 when one does not, 130 when it was interrupted."""
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
    real = options.model == "openai"
    settings = _openai_settings() if real else RULE_BASED
    # The throttle is for a normal day; the burst is to be held by concurrency alone.
    stack = Stack({"EMAIL_THROTTLE_PER_MINUTE": "6000", **settings}, engine_url=(options.engine or "").rstrip("/"))
    with console.status("Starting Postgres, the engine and the app ..."):
        await stack.__aenter__()
    try:
        records = await Records.open(stack.postgres.url)
        engine = Engine(stack.engine_url, stack.http)
        await engine.meet()
        if options.engine:
            await records.rename_customers(uuid4().hex[:6])
        claims = Claims()
        timeline = Timeline(console)
        timeline.say(f"Postgres, engine and app are running (in {time.monotonic() - started:.1f} s).")
        patience = OPENAI_PATIENCE if real else OFFICIAL_PATIENCE if options.engine else STAND_IN_PATIENCE
        with timeline:
            stage = Stage(stack, engine, records, timeline, patience)
            await _acts(Story(stage, claims, NO_MODEL if real else {"MODEL": "rule-based:outage"}), stage, claims)
        totals = await records.actions(0)
        records.close()
        end = _end(timeline, claims, totals, time.monotonic() - started)
        console.print(*end, sep="\n")
        if options.svg:
            _draw(options.svg, [*timeline.acts[1:2], *end])
        if options.keep:
            await _keep(stack, console)
    finally:
        await stack.__aexit__(None, None, None)
    return 0 if claims.hold else 1


def _end(timeline: Timeline, claims: Claims, totals: Mapping[str, int], seconds: float) -> list[RenderableType]:
    counted = ", ".join(f"{totals[action]} {action}" for action in get_args(AuditAction) if totals[action])
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


def _openai_settings() -> Mapping[str, str]:
    if not os.environ.get("OPENAI_API_KEY"):
        raise ValueError("--model openai needs OPENAI_API_KEY (and takes OPENAI_BASE_URL and MODEL)")
    return {name: os.environ[name] for name in (*OPENAI, *PROXIES) if os.environ.get(name)} | {"NO_PROXY": "127.0.0.1"}


def _draw(file: Path, parts: list[RenderableType]) -> None:
    picture = Console(record=True, width=SVG_WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for part in parts:
        picture.print(part)
    picture_text = picture.export_svg(title="make demo", unique_id="demo")
    file.parent.mkdir(parents=True, exist_ok=True)
    # Without the web font, which a picture in a page may not load: any monospaced one does.
    file.write_text(re.sub(r"\s*@font-face {.*?}", "", picture_text, flags=re.DOTALL))
