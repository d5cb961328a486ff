"""Stands in for the accounts that an agent needs: Postgres, the Inngest dev server and OpenAI's API, until Ctrl-C.

It runs in the folder of any build, without an account, a key or Node, and writes what the build needs into its `.env`.
What it keeps is in `.offline/`. With `--only NAME` it stands in for one account, and the others stay your own.
"""

import argparse
import asyncio
import contextlib
import os
import re
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from offline.postgres import DEFAULT_PORT, EmbeddedPostgres, PostgresError
from offline.signals import run_until_stopped

ENGINE_PORT, MODEL_PORT = 8288, 8290
APP_URL = "http://127.0.0.1:8000/api/inngest"
KEY = "offline"
FOLDER = Path(".offline")
ENV, EXAMPLE = Path(".env"), Path(".env.example")
BEGIN = "# Written by `python -m offline dev`, which stands in for these accounts. Delete the block to use your own."
END = "# The end of what `python -m offline dev` has written."
BLOCK = re.compile(rf"\n?{re.escape(BEGIN)}\n.*?{re.escape(END)}\n", re.S)


class TakenPortError(Exception):
    """A port on which a stand-in should listen is taken. The text says which, and what to do."""


@dataclass(frozen=True)
class Account:
    """One account, what stands in for it, and the variables by which a build finds it."""

    name: str
    what: str
    variables: dict[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options: which accounts, where each stand-in listens, and where the app will be."""
    parser.add_argument("--only", choices=["postgres", "engine", "model"], help="stand in for this account alone")
    parser.add_argument("--model-port", type=int, default=MODEL_PORT, metavar="N", help="default: %(default)s")
    parser.add_argument("-u", "--sdk-url", default=APP_URL, metavar="URL", help="your app (default: %(default)s)")


def add_ports(parser: argparse.ArgumentParser) -> None:
    """Add the ports that a stand-in has wherever it runs."""
    for name, port in {"engine": ENGINE_PORT, "postgres": DEFAULT_PORT}.items():
        parser.add_argument(f"--{name}-port", type=int, default=port, metavar="N", help="default: %(default)s")


def main(options: argparse.Namespace) -> int:
    """Run until Ctrl-C. Returns 0 then, or 1 when a stand-in could not be started."""
    farewell = "Stopped. The data stays in .offline/, and the lines stay in .env."
    return run_until_stopped(_run(options), PostgresError, TakenPortError, farewell=farewell)


async def _run(options: argparse.Namespace) -> None:
    wanted = [options.only] if options.only else ["postgres", "engine", "model"]
    accounts: list[Account] = []
    async with contextlib.AsyncExitStack() as running:
        if "engine" in wanted:
            accounts.append(await running.enter_async_context(_engine(options)))
        if "model" in wanted:
            accounts.append(await running.enter_async_context(_model(options.model_port)))
        if "postgres" in wanted:
            accounts.insert(0, running.enter_context(_postgres(options.postgres_port)))
        print(guide(accounts, write_env(accounts)), flush=True)
        await asyncio.Event().wait()


@contextlib.contextmanager
def _postgres(port: int) -> Iterator[Account]:
    _check_port("postgres", port)
    FOLDER.mkdir(exist_ok=True)
    # This keeps the folder out of its owner's version control.
    (FOLDER / ".gitignore").write_text("*\n")
    with EmbeddedPostgres(FOLDER / "postgres", port=port) as server:
        yield Account("Postgres", "a real Postgres on this machine, in place of Neon", {"DATABASE_URL": server.url})


@contextlib.asynccontextmanager
async def _engine(options: argparse.Namespace) -> AsyncIterator[Account]:
    _check_port("engine", options.engine_port)
    # What only one stand-in needs is imported when it starts, because it takes a second or two.
    from offline.inngest_server import DevServer  # noqa: PLC0415

    async with DevServer(port=options.engine_port, sdk_urls=[options.sdk_url], discovery=True) as server:
        what = "the Inngest dev server's protocol, page and MCP server (/mcp), in memory"
        yield Account("Inngest", what, {"INNGEST_DEV": server.origin})


@contextlib.asynccontextmanager
async def _model(port: int) -> AsyncIterator[Account]:
    _check_port("model", port)
    from offline.openai_api.server import application  # noqa: PLC0415
    from offline.serving import served  # noqa: PLC0415

    async with served(application(), port) as (_, address):
        what = "OpenAI's API with a model that follows rules: it knows support emails and nothing else"
        yield Account("OpenAI", what, {"OPENAI_BASE_URL": f"{address}/v1", "OPENAI_API_KEY": KEY})


def write_env(accounts: list[Account]) -> list[Account]:
    """Write the accounts' variables as a block at the end of `.env`, and return the accounts that were left out.

    Left out is an account for which `.env` has a value of the owner's own. The rest of the file stays as it is, and a
    block from an earlier start is replaced.
    """
    text = ENV.read_text() if ENV.exists() else ""
    rest = BLOCK.sub("", text)
    ENV.touch(mode=0o600)
    ENV.write_text(rest)
    examples = dotenv_values(EXAMPLE) if EXAMPLE.exists() else {}
    filled_in = {name for name, value in dotenv_values(ENV).items() if not _is_placeholder(value, examples.get(name))}
    own = [account for account in accounts if account.variables.keys() & filled_in]
    lines = [
        f"{name}={value}" for account in accounts if account not in own for name, value in account.variables.items()
    ]
    if lines:
        gap = "\n" if rest and not rest.endswith("\n") else ""
        ENV.write_text(rest + gap + "\n".join(["", BEGIN, *lines, END, ""]))
    return own


def _is_placeholder(value: str | None, example: str | None) -> bool:
    """Whether the owner has left a variable as it was. INNGEST_DEV=1, as the course has it, means any dev server."""
    return value in (None, "", "1", example) or str(value).endswith("...")


def guide(accounts: list[Account], own: list[Account]) -> str:
    """What the person is told: each stand-in with its variables, and which of them were left to the owner's own."""
    lines = ["These are stand-ins. None of them is the real thing, and nothing leaves this machine.", ""]
    for account in accounts:
        lines.append(f"{account.name:<9} {account.what}")
        lines += [f"          {name}={value}" for name, value in account.variables.items()]
        if account in own:
            lines.append("          not written: your .env has a value of your own. Empty it to use this one.")
    told = {name: value for account in accounts for name, value in account.variables.items()}
    foreign = [name for name, value in told.items() if os.environ.get(name, value) != value]
    if foreign:
        lines += [
            "",
            f"Your shell sets {', '.join(foreign)}, which goes before .env: unset what is not meant for here.",
        ]
    written = "The lines are in .env. " if len(own) < len(accounts) else ""
    lines += [
        "",
        f"{written}An app that runs already has to be started again to read them.",
        "Ctrl-C stops everything.",
    ]
    return "\n".join(lines)


def _check_port(name: str, port: int) -> None:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            way_out = f"Stop what listens there, or choose another one: --{name}-port N"
            raise TakenPortError(f"Port {port} is taken. {way_out}")
