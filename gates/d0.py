"""D0: the worker answers an email by itself, records it, and pauses before a refund. No engine is needed."""

import ast
import asyncio
import os
import re
import secrets
import shlex
import sys
from pathlib import Path

import asyncpg

from gates import contract, source
from gates.report import Advice
from gates.rows import RowsError, counted
from gates.world import World, told

TITLE = "A plain worker over its system of record"
START_SECONDS = 90  # A busy machine imports the Agents SDK slowly.
QUESTION = "Good morning. How long does shipping to Norway take?"
PAUSED = re.compile(r"approv|paus|pending|interrupt|confirm|human|awaiting|needs a person", re.IGNORECASE)
AUDIT_TABLE = "migrations/0001_customers_and_audit_log.sql"
NOT_STARTED = Advice("the command that starts your worker is another one: --worker, see --help", "AGENTS.md")
NO_END = Advice("the worker waits for an input, or its model is slower than --patience", "AGENTS.md")
NO_ANSWER = Advice(
    "the worker ends with an error, or prints no reply: it takes an email's text as its argument and prints the reply",
    "ai_calls",
)
NO_ROW = Advice("the worker writes no audit row, or the write is not awaited", "idempotency")
PAID_AT_ONCE = Advice("the refund tool does not need approval: needs_approval=True", "human_gate")
NO_PAUSE = Advice(
    "the agent promises a refund in words instead of calling its tool, or the worker does not say that it paused, "
    "or it answers an email of its own instead of its argument",
    "human_gate",
)
KNOWS_THE_ENGINE = Advice("the agent must not know what wakes it: move that into inngest_app.py", "AGENTS.md")
OPEN_SET = Advice("no check on audit_log.action: a misspelt action is written and never found", AUDIT_TABLE)
ACTIONS = ["message_received", "message_sent", "refund_issued", "refund_blocked", "health_check", "run_failed"]


async def check(world: World) -> None:
    """Let the worker answer a plain email and one that asks for a refund, and look at the rows and at its imports."""
    await plain(world)
    await refund(world)
    if await world.store():
        world.report.check("five sample customers and an audit table", "they are there", True, NO_ROW)
    what, start = "the worker does not import inngest", world.build.file
    if start is None or not start.is_file():
        world.report.cannot(what, f"no file is named by {world.build.worker!r}")
    else:
        wrong = sorted(str(path) for path in reachable(start) if {"inngest", "inngest_app"} & tops(path))
        world.report.check(what, ", ".join(wrong) or "neither do its files", not wrong, KNOWS_THE_ENGINE)
    source.look(world, source.SHELL, source.IDENTITY, source.POOL_PER_CALL)
    if world.build.beyond:
        await closed_set(world)


async def plain(world: World) -> None:
    """An ordinary email is answered in print, and leaves at least one row."""
    before = await newest(world)
    ended, printed = await answer(world, QUESTION)
    advice = NO_ANSWER
    if ended is None:
        advice = NO_END
    elif "No such file" in printed or "can't open file" in printed:
        advice = NOT_STARTED
    seen = printed.strip().splitlines()
    last = seen[-1][:100] if seen else "nothing"
    if not world.report.check("the worker answers an email", last, ended == 0 and bool(seen), advice):
        return
    try:
        rows = counted(await world.rows.since(before))
    except RowsError:
        return
    world.report.check("and leaves a row", told(rows), bool(rows), NO_ROW)


async def refund(world: World) -> None:
    """An email that asks for a refund makes the worker pause: no row says that money moved, and it says so."""
    before = await newest(world)
    # An order of its own each time: one that was refunded before is not refunded again.
    order = f"G-{secrets.randbelow(10**6):06}"
    email = f"I was charged twice for order {order}. Please return the $49.00 that was too much."
    ended, printed = await answer(world, email)
    try:
        rows = counted(await world.rows.since(before))
    except RowsError:
        rows = {}
    paid = any(contract.pays(action) for action in rows)
    said = next(
        (line.strip() for line in printed.splitlines() if PAUSED.search(line)), "it does not say that it paused"
    )
    holds = not paid and PAUSED.search(printed) is not None
    seen = f"{said[:100]}; {told(rows)}"
    advice = NO_END if ended is None else NO_PAUSE
    world.report.check("it pauses before a refund", seen, holds, PAID_AT_ONCE if paid else advice)


async def newest(world: World) -> object:
    """What orders the newest row; None as long as the worker has not made its tables."""
    try:
        return await world.rows.newest()
    except RowsError:
        return None


async def answer(world: World, email: str) -> tuple[int | None, str]:
    """Let the worker answer an email. Returns its exit code, None if it takes too long, and what it printed."""
    command = shlex.split(world.build.worker)
    command = (
        [word.replace("{email}", email) for word in command] if "{email}" in world.build.worker else [*command, email]
    )
    if command[0] in {"python", "python3"}:
        command[0] = sys.executable
    environment = os.environ | {"DATABASE_URL": world.build.database_url} | dict(world.build.environment)
    nothing, pipe, same = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=nothing, stdout=pipe, stderr=same, env=environment
        )
    except OSError as error:
        return 1, f"No such file: {error}"
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), START_SECONDS + world.build.patience)
    except TimeoutError:
        process.kill()
        await process.wait()
        return None, "no end within the time"
    return process.returncode, printed.decode(errors="replace")


async def closed_set(world: World) -> None:
    """Beyond the course: the table itself takes the reference app's actions, and no others."""
    try:
        taken = [action for action in ACTIONS if await accepts(world, action)]
        world.report.check(
            "the audit trail takes every action", f"{len(taken)} of {len(ACTIONS)}", taken == ACTIONS, OPEN_SET
        )
        refused = not await accepts(world, "refund_maybe")
        world.report.check("and its table takes no other", "asked to write 'refund_maybe'", refused, OPEN_SET)
    except asyncpg.PostgresError as error:
        world.report.check("a row can be written", f"{type(error).__name__}: {error}", False, OPEN_SET)


async def accepts(world: World, action: str) -> bool:
    """Whether the table takes this action. A row is written to find out, and rolled back.

    Raises asyncpg.PostgresError when the row is refused for another reason.
    """
    async with world.rows.transaction() as connection:
        try:
            await connection.execute("insert into audit_log (action, key, run_id) values ($1, 'gate', 'gate')", action)
        except asyncpg.CheckViolationError:
            return False
    return True


def reachable(start: Path) -> set[Path]:
    """The files of this folder that a Python file imports, and those that they import, itself included."""
    found: set[Path] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path in found or not path.is_file():
            continue
        found.add(path)
        for name in modules(path):
            base = Path(*name.split("."))
            for root in {Path(), start.parent, path.parent}:
                waiting += [(root / base).with_suffix(".py"), root / base / "__init__.py"]
    return found


def modules(path: Path) -> set[str]:
    """The dotted names of the modules that a Python file may import."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names |= {module} | {f"{module}.{alias.name}".strip(".") for alias in node.names}
    return names - {""}


def tops(path: Path) -> set[str]:
    """The top-level packages that a Python file imports."""
    return {name.split(".")[0] for name in modules(path)}
