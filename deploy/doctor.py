"""`python -m deploy.doctor`: what of the settings and of the systems around the app works, and what does not.

It only reads. The mail server is signed in to and sent nothing, and the engine is sent an empty list of events, which
shows whether it takes the key. What this prints can be shown to anybody: it holds no key and no password.
"""

import argparse
import asyncio
import hashlib
import importlib
import logging
import ssl
import sys
from collections.abc import Awaitable, Callable
from pkgutil import resolve_name
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import aiosmtplib
import asyncpg
import httpx
import openai
from dotenv import load_dotenv

import migrations
import settings
from outbound import mail

SECONDS = 10
# A shorter one would be found in ordinary words.
SECRET_MIN_CHARS = 4


class Finding(NamedTuple):
    """One sentence about a part of the whole; a `broken` one makes the program end with 1."""

    level: Literal["ok", "warning", "broken"]
    part: str
    text: str


def main(arguments: list[str] | None = None) -> int:
    """Examine everything and report on it."""
    parser = argparse.ArgumentParser(prog="python -m deploy.doctor", description="Say what works and what does not.")
    parser.add_argument(
        "--replicas", type=int, default=3, metavar="N", help="processes that run (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    load_dotenv()
    # The app logs its warnings when it is imported; they are findings already.
    logging.disable(logging.WARNING)
    return report(asyncio.run(examine(options.replicas)))


def report(findings: list[Finding]) -> int:
    """Print a line for each finding; 1 if something is broken, else 0."""
    for finding in findings:
        print(without_secrets(f"{finding.level:<8} {finding.part:<9} {finding.text}"))
    return int(any(finding.level == "broken" for finding in findings))


def without_secrets(text: str) -> str:
    """The text with three stars in the place of every key and password."""
    for secret in settings.secrets():
        if len(secret) >= SECRET_MIN_CHARS:
            text = text.replace(secret, "***")
    return text


async def examine(replicas: int) -> list[Finding]:
    """All findings. A part whose settings cannot work is not looked at: the sentence about the setting says enough."""
    problems = settings.problems()
    found = [Finding("broken", "settings", problem) for problem in problems]
    if not problems:
        found = [Finding("ok", "settings", "Each setting can work.")]
        found += [Finding("warning", "settings", warning) for warning in settings.warnings()]
    checks: dict[str, Callable[[], Awaitable[list[Finding]]]] = {
        "database": lambda: database(replicas),
        "mail": mail_server,
        "chat": chat,
        "collector": collector,
        "model": model,
        "payments": payments,
    }
    if not problems:
        # The app cannot be imported before, and it knows where the engine is and which functions there are.
        checks["engine"] = engine
    for findings in await asyncio.gather(*(_in_time(part, check) for part, check in checks.items())):
        found += findings
    return found


async def _in_time(part: str, check: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    try:
        async with asyncio.timeout(SECONDS):
            return await check()
    except settings.SettingError:
        return []
    except TimeoutError:
        return [Finding("broken", part, f"It has not answered within {SECONDS} seconds.")]
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        return [Finding("broken", part, f"It cannot be reached: {reason}.")]


async def database(replicas: int) -> list[Finding]:
    """The database, a pooler before it, the migrations, and whether the pools of all processes fit into it."""
    try:
        connection = await asyncpg.connect(
            settings.database_url(), ssl=settings.database_tls(), statement_cache_size=0, timeout=SECONDS
        )
    except asyncpg.PostgresError as error:
        return [Finding("broken", "database", f"It refuses the connection: {error}.")]
    try:
        async with connection.transaction(readonly=True):
            [row] = await connection.fetch(
                "select current_setting('server_version') as version, pg_backend_pid() as pid,"
                " current_setting('max_connections')::int"
                "   - current_setting('superuser_reserved_connections')::int as allowed,"
                " to_regclass('schema_migrations') is not null as migrated"
            )
            applied = await connection.fetch("select name from schema_migrations") if row["migrated"] else []
        # A pooler makes up the process id by which a client may cancel its queries.
        pooled = connection.get_server_pid() != row["pid"]
    finally:
        await connection.close()
    way = "through a pooler" if pooled else "without a pooler"
    found = [Finding("ok", "database", f"Postgres {row['version']} answers, {way}.")]
    missing = sorted({path.name for path in migrations.FOLDER.glob("*.sql")} - {row["name"] for row in applied})
    if missing:
        found.append(Finding("broken", "database", f"Not applied: {', '.join(missing)}. Run `python db.py`."))
    return [*found, *certificate(), pools(replicas, row["allowed"], pooled=pooled)]


def certificate() -> list[Finding]:
    """A warning if anybody could answer in the database's place."""
    host = urlsplit(settings.database_url()).hostname
    if settings.database_tls() or host in {"127.0.0.1", "::1", "localhost"} or "verify" in settings.database_url():
        return []
    return [Finding("warning", "database", "Its certificate is not checked; sslmode=verify-full in DATABASE_URL does.")]


def pools(replicas: int, allowed: int, *, pooled: bool) -> Finding:
    """Whether the connections of all processes fit into the `allowed` ones of the database."""
    wanted = replicas * settings.db_pool_max()
    sum_ = f"{replicas} processes with DB_POOL_MAX={settings.db_pool_max()} open up to {wanted} connections"
    if pooled:
        return Finding("ok", "database", f"{sum_} to the pooler, whose max_client_conn has to allow them.")
    if wanted > allowed:
        return Finding("broken", "database", f"{sum_}, and the database allows {allowed}.")
    return Finding("ok", "database", f"{sum_}; the database allows {allowed}.")


async def engine() -> list[Finding]:
    """Whether the engine answers, takes both keys, and has the functions of this version."""
    app = importlib.import_module("inngest_app")
    client = app.client
    async with httpx.AsyncClient(timeout=SECONDS) as http:
        answer = await _functions(http, client, client.signing_key)
        fallback = answer.status_code in {401, 403} and client.signing_key_fallback is not None
        if fallback:
            answer = await _functions(http, client, client.signing_key_fallback)
        sent = await http.post(f"{client.event_api_origin.rstrip('/')}/e/{client.event_key or 'dev'}", json=[])
    if answer.status_code in {401, 403}:
        return [Finding("broken", "engine", "It does not accept INNGEST_SIGNING_KEY.")]
    if answer.status_code not in {200, 404}:
        return [Finding("broken", "engine", f"It answers with {answer.status_code}.")]
    which = "INNGEST_SIGNING_KEY_FALLBACK" if fallback else "INNGEST_SIGNING_KEY"
    found = [Finding("ok", "engine", "It answers." if settings.dev_mode() else f"It answers, and accepts {which}.")]
    if sent.status_code in {401, 403}:
        found.append(Finding("broken", "engine", "It does not accept INNGEST_EVENT_KEY."))
    registered = str(answer.json())
    unknown = [function.id for function in app.functions if f"'{function.id}'" not in registered]
    if answer.status_code != httpx.codes.OK or len(unknown) == len(app.functions):
        return [*found, Finding("broken", "engine", "It does not know the app: run `python -m deploy.sync`.")]
    if unknown:
        text = f"It does not know {', '.join(unknown)}: run `python -m deploy.sync`."
        return [*found, Finding("broken", "engine", text)]
    return [*found, Finding("ok", "engine", f"It knows all {len(app.functions)} functions.")]


async def _functions(http: httpx.AsyncClient, client: Any, key: str | None) -> httpx.Response:
    headers = {}
    if key is not None:
        # The engine compares the key's hash (https://api-docs.inngest.com/docs/inngest-api).
        prefix = settings.SIGNING_KEY_PREFIX.match(key)
        bare = settings.SIGNING_KEY_PREFIX.sub("", key)
        hashed = hashlib.sha256(bytes.fromhex(bare)).hexdigest()
        headers = {"Authorization": f"Bearer {prefix.group() if prefix else ''}{hashed}"}
    url = f"{client.api_origin.rstrip('/')}/v1/apps/{client.app_id}/functions"
    return await http.get(url, headers=headers)


async def mail_server() -> list[Finding]:
    """Whether the mail server lets us in."""
    smtp = settings.smtp()
    if smtp is None:
        return []
    try:
        async with aiosmtplib.SMTP(**mail.options(smtp[0]), timeout=SECONDS):
            return [Finding("ok", "mail", "The mail server lets us in.")]
    except aiosmtplib.SMTPAuthenticationError as refused:
        return [Finding("broken", "mail", f"The mail server refuses the user or the password with {refused.code}.")]


async def chat() -> list[Finding]:
    """Whether the chat's server answers. Only a message would show whether the link is the right one."""
    url = settings.reviewer_webhook_url()
    if url is None:
        return []
    await _connect(url)
    return [Finding("ok", "chat", "The server in REVIEWER_WEBHOOK_URL answers; the first message tries the link.")]


async def collector() -> list[Finding]:
    """Whether somebody is there to take the traces. Only a trace would show whether they are taken."""
    url = settings.otlp_endpoint()
    if url is None:
        return []
    await _connect(url)
    return [Finding("ok", "collector", "The server in OTEL_EXPORTER_OTLP_ENDPOINT answers.")]


async def _connect(url: str) -> None:
    """Open a connection to a URL's server and close it. Raises OSError if there is none."""
    parts = urlsplit(url)
    context = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (443 if context else 80)
    _, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    writer.close()


async def model() -> list[Finding]:
    """Whether the model's server takes the key and has the models."""
    provider = settings.model_provider()
    if provider:
        try:
            resolve_name(provider)
        except (ImportError, AttributeError, ValueError) as error:
            return [Finding("broken", "model", f"MODEL_PROVIDER cannot be imported: {error}.")]
        return [Finding("ok", "model", "MODEL_PROVIDER can be imported.")]
    try:
        async with openai.AsyncOpenAI(max_retries=0, timeout=SECONDS) as asked:
            names = [each.id async for each in asked.models.list()]
    except (openai.AuthenticationError, openai.PermissionDeniedError):
        return [Finding("broken", "model", "The model's server does not accept OPENAI_API_KEY.")]
    except openai.APIStatusError as error:
        return [Finding("broken", "model", f"The model's server answers with {error.status_code}.")]
    except openai.OpenAIError as error:
        # Without a key there is no client.
        unreachable = isinstance(error, openai.APIConnectionError)
        return [Finding("broken", "model", "It cannot be reached." if unreachable else "OPENAI_API_KEY is not set.")]
    for setting, name in (("MODEL", settings.model()), ("MODEL_EASY", settings.model_easy())):
        if name and name not in names:
            return [Finding("broken", "model", f"The model's server has no {name} ({setting}).")]
    return [Finding("ok", "model", "The model's server accepts OPENAI_API_KEY.")]


async def payments() -> list[Finding]:
    """Whether the payment provider takes the key."""
    if settings.payments() == "ledger":
        return [Finding("ok", "payments", "PAYMENTS=ledger: refunds are written down, and somebody has to pay them.")]
    async with httpx.AsyncClient(timeout=SECONDS) as http:
        url = f"{settings.stripe_api_base().rstrip('/')}/v1/balance"
        answer = await http.get(url, auth=(settings.stripe_api_key(), ""))
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return [Finding("broken", "payments", "Stripe does not accept STRIPE_API_KEY.")]
    # A restricted key may not read the balance, and is a key all the same.
    return [Finding("ok", "payments", "Stripe accepts STRIPE_API_KEY.")]


if __name__ == "__main__":
    sys.exit(main())
