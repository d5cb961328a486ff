"""Runs Postgres, the stand-in engine, the app and the shelf until Ctrl-C. A changed file starts its part anew."""

import argparse
import asyncio
import os
import shlex
import socket
import sys
from pathlib import Path
from threading import Thread

import httpx
from dotenv import dotenv_values

import db
from offline.postgres import DEFAULT_DATA_DIR, EmbeddedPostgres, PostgresError
from offline.processes import INHERITED, ROOT, Process
from offline.signals import run_until_stopped
from offline.stack import RULE_BASED, Stack, StackError
from refunds import ledger

APP_PORT, SHELF_PORT = 8000, 8001
LOOK_SECONDS = 0.5
ROOMS = ["concepts/**/*.py", "outbound/**/*.py", "refunds/**/*.py", "steps/**/*.py", "web/**/*.py"]
SHELF = ROOT / "concepts"
# A change in one of these files restarts app and shelf, in SHELF the shelf alone. Looking at every file would take
# long: .venv has thousands.
WATCHED = [".env", "*.py", "offline/*.py", *ROOMS]
# The learner's own values of these are not used, because the stack sets them or must not have them.
OURS = {"DATABASE_URL", "INNGEST_DEV", "INNGEST_EVENT_KEY", "INNGEST_SIGNING_KEY", *INHERITED}
# .env.example has the second one as a placeholder.
NO_KEY = ("", "sk-...")
COLORS = {"app": 36, "engine": 35, "shelf": 34}
GUIDE = """
app        {app}
desk       {app}/approvals
engine     {engine}   a stand-in for the Inngest dev server
shelf      {shelf}   the course's concepts, one file each: concepts/README.md
Postgres   {postgres}
model      {model}

Send a first email; it asks for a refund, which waits for approval. Approve it at the desk, or with the second line.

  curl {engine}/e/dev -d '{{"name": "customer/email.received", "data": {{"customer_id": "cust_002",
    "email_text": "Hello, I was charged twice for order A-1001: 49.00 dollars each time. Grace"}}}}'

  curl {engine}/e/dev -d '{{"name": "refund/approval.decided", "data": {{"customer_id": "cust_002",
    "approved": true}}}}'

Whatever else reads the settings, such as `python -m gates d1`, finds all of this after

  export {exports}

Ctrl-C stops everything; the data stays in .offline/.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where app and shelf listen; `accounts.add_ports` has those of the stand-ins."""
    for name, port in {"app": APP_PORT, "shelf": SHELF_PORT}.items():
        parser.add_argument(f"--{name}-port", type=int, default=port, metavar="N", help="default: %(default)s")
    parser.add_argument("--no-shelf", dest="shelf_port", action="store_const", const=0, help="leave the shelf out")


def main(options: argparse.Namespace) -> int:
    """Run until Ctrl-C. Returns 0 then, or 1 when something could not be started."""
    for name in ("app", "engine", "postgres", "shelf"):
        port = getattr(options, f"{name}_port")
        if port and _is_taken(port):
            print(f"Port {port} is taken. Stop what listens there, or choose another one: --{name}-port N")
            return 1
    return run_until_stopped(_run(options), StackError, PostgresError)


async def _run(options: argparse.Namespace) -> None:
    before, settings = _versions(), own_settings()
    postgres = EmbeddedPostgres(ROOT / DEFAULT_DATA_DIR, port=options.postgres_port)
    ports = {"engine_port": options.engine_port, "app_port": options.app_port}
    async with Stack(settings, **ports, postgres=postgres, on_start=_follow) as stack:
        await _close_orphans(postgres.url)
        model = settings.get("MODEL") or "the SDK's default"
        shelf = await _serve_shelf(stack, options.shelf_port) if options.shelf_port else None
        shelf_url = f"http://127.0.0.1:{options.shelf_port}" if shelf else "not served"
        addresses = {"app": stack.app_url, "engine": stack.engine_url, "shelf": shelf_url, "postgres": postgres.url}
        values = {"DATABASE_URL": postgres.url, "INNGEST_DEV": stack.engine_url}
        values |= {name: settings[name] for name in RULE_BASED if name in settings}
        exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
        print(GUIDE.format(**addresses, model=model, exports=exports), flush=True)
        while stack.engine and stack.engine.running:
            await asyncio.sleep(LOOK_SECONDS)
            if (now := _versions()) != before:
                changed = {path for path, _ in now.items() ^ before.items()}
                before, stack.settings = now, own_settings()
                if not shelf or not all(path.is_relative_to(SHELF) for path in changed):
                    await _start_app_anew(stack)
                if shelf:
                    print("A file has changed: the shelf starts anew.", flush=True)
                    stack.processes.stop(shelf)
                    shelf = await _serve_shelf(stack, options.shelf_port)
        raise StackError("The engine has ended; what it said is above.")


async def _start_app_anew(stack: Stack) -> None:
    print("A file has changed: the app starts anew.", flush=True)
    try:
        await stack.restart_app()
    except StackError as error:
        print(f"{error}\nThe next change starts it again.", flush=True)


async def _serve_shelf(stack: Stack, port: int) -> Process:
    """Start the shelf and register its functions. If it ends at once, what it printed says why."""
    uvicorn = ("-m", "uvicorn", "concepts.app:app", "--port", str(port), "--timeout-keep-alive", "300")
    address = {"DATABASE_URL": stack.postgres.url, "INNGEST_DEV": stack.engine_url}
    shelf = stack.processes.start("shelf", *uvicorn, environment=stack.settings | address, piped=True)
    _follow(shelf)
    while shelf.running:
        try:
            await stack.http.put(f"http://127.0.0.1:{port}/api/inngest")
            return shelf
        except httpx.TransportError:
            await asyncio.sleep(0.1)
    print("The shelf has ended. The next change starts it again.", flush=True)
    return shelf


async def _close_orphans(database_url: str) -> None:
    """Close the open refunds of earlier sessions. The database has kept them, but the engine has lost their runs."""
    os.environ["DATABASE_URL"] = database_url
    for row in await db.fetch("select distinct run_id from refunds where settled_at is null"):
        await ledger.block_the_rest(row["run_id"], "the engine of its run was stopped", pending=True)
    await db.close()


def own_settings(*also: str) -> dict[str, str]:
    """Return the learner's own settings from the environment or .env. Without a key the model is the rule-based one.

    `also` names variables that are used although the stack would set them.
    """
    written = {name: value for name, value in dotenv_values(ROOT / ".env").items() if value is not None}
    lines = (ROOT / ".env.example").read_text().splitlines()
    known = {line.lstrip("# ").partition("=")[0] for line in lines} | set(written)
    settings = written | {name: os.environ[name] for name in known if name in os.environ}
    if settings.get("OPENAI_API_KEY", "") in NO_KEY and not settings.get("MODEL_PROVIDER"):
        settings |= RULE_BASED
    return {name: value for name, value in settings.items() if name in also or name not in OURS}


def _versions() -> dict[Path, float]:
    """Return when each watched file was changed last."""
    return {path: path.stat().st_mtime for pattern in WATCHED for path in ROOT.glob(pattern)}


def _follow(process: Process) -> None:
    """Print what the process prints, each line after the name of the process."""
    Thread(target=_copy, args=(process,), daemon=True).start()


def _copy(process: Process) -> None:
    prefix = f"{process.name:<6} | "
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        prefix = f"\033[{COLORS[process.name]}m{prefix}\033[0m"
    assert process.popen.stdout
    for line in process.popen.stdout:
        sys.stdout.write(prefix + line.decode(errors="replace"))
        sys.stdout.flush()


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
