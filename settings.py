"""Every setting of the app: its name in the environment, its default, and what it may be.

A setting is read at the moment it is needed. One that cannot work raises SettingError, a sentence that names the
setting and says what is expected; a value that may hold a secret is never repeated. `check` reads all of them when the
app starts, so that a mistake ends the start and not an email. `.env.example` explains each to whoever sets it.
"""

import logging
import os
import re
from collections.abc import Callable
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

# An address that mail can be sent to: ASCII only, as every mail server takes it. What a From may say is wider, see
# web/webhooks/inbound_email.py.
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
REVIEWER = re.compile(r"[\w.@+-]{1,64}")
# The history of refunds names these when nobody decided in time, and when it was the agent's run.
NOT_REVIEWERS = {"nobody", "run"}
# A password's hash as argon2 writes it (https://github.com/P-H-C/phc-string-format/blob/master/phc-sf-spec.md).
ARGON2ID = re.compile(r"\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")
# asyncpg would hand these options of libpq to the server, which refuses them as unknown settings. `pgbouncer` is for
# programs that have to be told of it; db.py finds out by itself.
LIBPQ_ONLY = {"channel_binding", "connect_timeout", "gssencmode", "keepalives", "keepalives_idle", "pgbouncer"}
# A signing key as Inngest Cloud and `openssl rand -hex` make it. What tutorials write for a dev server is shorter.
SIGNING_KEY = re.compile(r"(?:signkey-[a-z]+-)?[0-9a-f]{32,}")
SIGNING_KEY_PREFIX = re.compile(r"^signkey-[a-z]+-")


class SettingError(ValueError):
    """A setting is missing or unusable; the message says which one and what to do."""


def check() -> None:
    """Read every setting once, as the app starts. Raises SystemExit with the sentence of the first that cannot work.

    In production it also logs what works, and is probably not meant.
    """
    for problem in problems():
        raise SystemExit(problem)
    for warning in warnings():
        logging.getLogger("customer-support").warning(warning)


def problems() -> list[str]:
    """One sentence for each setting that cannot work."""
    found: list[str] = []
    readers: list[Callable[[], object]] = [
        dev_mode,
        engine_base_url,
        serve_origin,
        encryption_keys,
        database_url,
        db_pool_max,
        retention_days,
        requests_per_email,
        second_approver_cents,
        payments,
        payments_are_chosen,
        smtp,
        reviewers,
        reviewer_webhook_url,
        desk_url,
        email_webhook_auth,
        emails_per_sender_per_hour,
        stripe_webhook_secrets,
        email_concurrency,
        email_concurrency_per_customer,
        email_throttle_per_minute,
        metrics_address,
        otlp_endpoint,
    ]
    for read in readers:
        try:
            read()
        except SettingError as error:
            found.append(str(error))
    # Several settings depend on dev mode, and say the same when it cannot be told.
    return list(dict.fromkeys(found))


def warnings() -> list[str]:
    """One sentence for each setting without which the app starts in production, and does less; none in dev mode."""
    if dev_mode():
        return []
    found: list[str] = []
    if not reviewers():
        found.append("REVIEWERS is not set: the approval desk is closed, so that no refund can be approved.")
    if not _text("DESK_URL"):
        found.append("DESK_URL is not set: the links that reviewers get lead to their own machine.")
    if smtp() is None:
        found.append("SMTP_URL and MAIL_FROM are not set: replies stay drafts in the audit trail.")
    if not _text("OPENAI_API_KEY") and model_provider() is None:
        found.append("OPENAI_API_KEY is not set: no email can be answered, and each goes to a person.")
    if email_webhook_auth() is None:
        found.append("EMAIL_WEBHOOK_AUTH is not set: /webhooks/email takes no email.")
    return found


def secrets() -> list[str]:
    """Every value that nobody may read in what a program prints."""
    names = ["INNGEST_EVENT_KEY", "INNGEST_SIGNING_KEY", "INNGEST_SIGNING_KEY_FALLBACK", "ENCRYPTION_KEY"]
    names += ["OPENAI_API_KEY", "STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET", "EMAIL_WEBHOOK_AUTH", "REVIEWER_WEBHOOK_URL"]
    names += ["METRICS_TOKEN", "OTEL_EXPORTER_OTLP_HEADERS"]
    values = [value for name in names for value in (_text(name), *_text(name).split())]
    for url in (_parts(_text("DATABASE_URL"), "postgres", "postgresql"), _parts(_text("SMTP_URL"), "smtp", "smtps")):
        if url is not None and url.password:
            values += [url.password, unquote(url.password)]
    return [value for value in dict.fromkeys(values) if value]


# The engine


def dev_mode() -> bool:
    """Whether the app runs beside a dev server: INNGEST_DEV is 1 or its URL. Otherwise the two keys must be there.

    In dev mode nobody proves who they are, and a bare event approves a refund. So INNGEST_DEV beside a real signing key
    is a mistake that raises.
    """
    dev = _text("INNGEST_DEV").lower()
    if names_a_dev_server():
        if SIGNING_KEY.fullmatch(_text("INNGEST_SIGNING_KEY")):
            raise SettingError(
                "INNGEST_DEV is set beside a real INNGEST_SIGNING_KEY: in dev mode calls are not checked and a bare"
                " event approves a refund. Unset INNGEST_DEV in production, or the key for a dev server."
            )
        return True
    if dev not in {"", "0", "false"}:
        raise SettingError(f"INNGEST_DEV is {dev!r}: expected the dev server's URL, 1, or nothing for production.")
    missing = [name for name in ("INNGEST_EVENT_KEY", "INNGEST_SIGNING_KEY") if not os.environ.get(name)]
    if missing:
        raise SettingError(
            f"Not set: {', '.join(missing)}. Production needs them; for a dev server set INNGEST_DEV to its URL."
        )
    return False


def names_a_dev_server() -> bool:
    """Whether INNGEST_DEV asks for dev mode. Unlike `dev_mode`, this needs no keys where it does not."""
    dev = _text("INNGEST_DEV").lower()
    return dev in {"1", "true"} or dev.startswith(("http://", "https://"))


def engine_base_url() -> str | None:
    """INNGEST_BASE_URL: where a self-hosted engine is; None for Inngest Cloud, and for the server in INNGEST_DEV.

    The SDK reads it. When it is not a URL, the SDK takes the cloud's address without a word.
    """
    return _link("INNGEST_BASE_URL", "") or None


def connect() -> bool:
    """INNGEST_CONNECT: 1 if `python -m deploy.connect` runs the functions, and the engine never calls the app."""
    return _text("INNGEST_CONNECT") in {"1", "true"}


def signing_key() -> str | None:
    """INNGEST_SIGNING_KEY: what the engine signs its calls with. The SDK reads it too."""
    return _text("INNGEST_SIGNING_KEY") or None


def serve_origin() -> str | None:
    """INNGEST_SERVE_ORIGIN: where the engine reaches this app, scheme and host; None in dev mode and with Connect.

    The SDK reads it too. Without it the SDK registers whatever Host a request names, so that a stranger's request would
    make the engine send every call, with the emails in it, to the stranger.
    """
    if dev_mode() or connect():
        return None
    origin = _text("INNGEST_SERVE_ORIGIN")
    parts = _parts(origin, "http", "https")
    if parts is None or parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise SettingError(
            "INNGEST_SERVE_ORIGIN must say where the engine reaches this app, such as https://support.example.com;"
            " or let the app reach the engine, with INNGEST_CONNECT=1"
        )
    return origin


def signing_keys() -> list[bytes]:
    """INNGEST_SIGNING_KEY, and while a new one replaces it INNGEST_SIGNING_KEY_FALLBACK: the engine signs with one."""
    keys = (os.environ.get(name) for name in ("INNGEST_SIGNING_KEY", "INNGEST_SIGNING_KEY_FALLBACK"))
    return [re.sub(r"\Asignkey-\w+-", "", key).encode() for key in keys if key]


def encryption_keys() -> list[str]:
    """ENCRYPTION_KEY: one key, or several separated by spaces. The first encrypts, and each of them decrypts."""
    return os.environ.get("ENCRYPTION_KEY", "").split()


def email_concurrency() -> int:
    """EMAIL_CONCURRENCY: how many steps of all emails run at once."""
    return _whole_number("EMAIL_CONCURRENCY", 10)


def email_concurrency_per_customer() -> int:
    """EMAIL_CONCURRENCY_PER_CUSTOMER: how many steps of one customer's emails run at once."""
    return _whole_number("EMAIL_CONCURRENCY_PER_CUSTOMER", 2)


def email_throttle_per_minute() -> int:
    """EMAIL_THROTTLE_PER_MINUTE: how many emails are begun in a minute."""
    return _whole_number("EMAIL_THROTTLE_PER_MINUTE", 30)


# The database


def database_url() -> str:
    """DATABASE_URL, a Postgres URL, as asyncpg understands it. The error never repeats it: it holds the password."""
    url = _parts(_text("DATABASE_URL"), "postgres", "postgresql")
    if not _text("DATABASE_URL"):
        raise SettingError("DATABASE_URL is not set: copy .env.example to .env and paste your Neon URL")
    if url is None:
        raise SettingError("DATABASE_URL is not a Postgres URL: expected postgresql://user:password@host/name")
    options = [(name, value) for name, value in parse_qsl(url.query) if name not in LIBPQ_ONLY]
    return url._replace(query=urlencode(options)).geturl()


def database_tls() -> bool | None:
    """True if the system's certificate authorities have to vouch for the database: for sslmode=verify-full.

    None leaves TLS to asyncpg and to the options of the URL. asyncpg knows no authorities of its own, but for a file in
    the home directory or one that `sslrootcert` names. libpq's `sslrootcert=system` means the same as here.
    """
    options = dict(parse_qsl(urlsplit(database_url()).query))
    has_a_file = (Path.home() / ".postgresql" / "root.crt").exists() or "sslrootcert" in options
    if options.get("sslrootcert") == "system" or (options.get("sslmode") == "verify-full" and not has_a_file):
        return True
    return None


def db_pool_max() -> int:
    """DB_POOL_MAX: how many connections one process holds at most."""
    return _whole_number("DB_POOL_MAX", 10)


def retention_days() -> int | None:
    """RETENTION_DAYS: after how many days the texts of customers and about them are erased; None keeps them."""
    return _whole_number("RETENTION_DAYS", 1) if os.environ.get("RETENTION_DAYS") else None


# The agent


def model() -> str | None:
    """MODEL: the model's name; None leaves the choice to the Agents SDK."""
    return os.environ.get("MODEL") or None


def model_easy() -> str | None:
    """MODEL_EASY: a cheaper model that answers easy emails and hands over the others to MODEL; None without one."""
    return os.environ.get("MODEL_EASY") or None


def model_provider() -> str | None:
    """MODEL_PROVIDER: a ModelProvider class of one's own, as module:class; None means OpenAI."""
    return os.environ.get("MODEL_PROVIDER") or None


def agent_tracing() -> bool:
    """AGENT_TRACING: whether traces of the agent's runs go to OpenAI."""
    return os.environ.get("AGENT_TRACING") == "1"


# Money


def requests_per_email() -> int:
    """REQUESTS_PER_EMAIL: for how many refunds one email can ask a person; what comes on top is refused at once."""
    return _whole_number("REQUESTS_PER_EMAIL", 5)


def second_approver_cents() -> int | None:
    """SECOND_APPROVER_CENTS: a refund that asks for this much or more needs two reviewers; None asks for no second."""
    return _whole_number("SECOND_APPROVER_CENTS", 1) if os.environ.get("SECOND_APPROVER_CENTS") else None


def payments() -> str:
    """PAYMENTS: where money leaves, `ledger` (the row is the refund) or `stripe`, which needs its key."""
    name = os.environ.get("PAYMENTS") or "ledger"
    if name not in {"ledger", "stripe"}:
        raise SettingError(f"PAYMENTS is {name!r}: expected ledger or stripe")
    if name == "stripe":
        stripe_api_key()
    return name


def payments_are_chosen() -> None:
    """In production PAYMENTS has to be set, because the default tells customers of refunds that move no money."""
    if not _text("PAYMENTS") and not dev_mode():
        raise SettingError("PAYMENTS is not set: say stripe, or say ledger if somebody moves the money by hand.")


def stripe_api_key() -> str:
    """STRIPE_API_KEY. In dev mode, where a bare event approves a refund, a key to real money is refused."""
    key = os.environ.get("STRIPE_API_KEY")
    if not key:
        raise SettingError("PAYMENTS=stripe needs STRIPE_API_KEY")
    if "_live_" in key and dev_mode():
        raise SettingError("STRIPE_API_KEY is a live key: in dev mode use a test key, sk_test_... or rk_test_...")
    return key


def stripe_api_base() -> str:
    """STRIPE_API_BASE: where Stripe's API is."""
    return os.environ.get("STRIPE_API_BASE") or "https://api.stripe.com"


# Ways out


def smtp() -> tuple[SplitResult, str] | None:
    """SMTP_URL and MAIL_FROM: the mail server and the sender of replies; None when neither is set."""
    url, sender = os.environ.get("SMTP_URL"), os.environ.get("MAIL_FROM")
    if not url and not sender:
        return None
    if not url or not sender:
        raise SettingError(f"{'MAIL_FROM' if url else 'SMTP_URL'} is not set: to send replies, set both, else neither")
    server = _parts(url, "smtp", "smtps")
    if server is None:
        raise SettingError("SMTP_URL is not a mail server: expected smtp://user:password@host:587, or smtps:// for TLS")
    if not sender.isprintable() or not ADDRESS.fullmatch(parseaddr(sender)[1]):
        raise SettingError("MAIL_FROM is not an address: expected support@example.com or Support <support@example.com>")
    return server, sender


def reviewer_webhook_url() -> str | None:
    """REVIEWER_WEBHOOK_URL: the chat in which reviewers hear of a refund; None when they are not told."""
    return _link("REVIEWER_WEBHOOK_URL", "") or None


def desk_url() -> str:
    """DESK_URL: where the reviewers' browsers reach this app, without a slash at its end."""
    return _link("DESK_URL", "http://127.0.0.1:8000").rstrip("/")


# Ways in


def reviewers() -> dict[str, str]:
    """REVIEWERS: the argon2id hash of every reviewer's password, by name; none when it is not set."""
    found: dict[str, str] = {}
    for number, entry in enumerate(os.environ.get("REVIEWERS", "").split(), 1):
        name, _, password_hash = entry.partition(":")
        if not is_reviewer_name(name):
            raise SettingError(
                f"REVIEWERS, entry {number}: expected name:hash as `python -m web.desk.reviewers NAME` prints it"
            )
        if not ARGON2ID.fullmatch(password_hash):
            raise SettingError(
                f"REVIEWERS: {name}'s entry has no argon2id hash; does something between here and there replace $...?"
                " Quote it, or print a new one with `python -m web.desk.reviewers`"
            )
        if name in found:
            raise SettingError(f"REVIEWERS names {name} twice")
        found[name] = password_hash
    return found


def is_reviewer_name(name: str) -> bool:
    """Whether a reviewer can have this name: letters, digits and . _ @ + -, but no name that the history uses."""
    return REVIEWER.fullmatch(name) is not None and name not in NOT_REVIEWERS


def email_webhook_auth() -> bytes | None:
    """EMAIL_WEBHOOK_AUTH, user:password, as the email provider has it in the webhook's URL; None when it is not set."""
    value = _text("EMAIL_WEBHOOK_AUTH")
    user, _, password = value.partition(":")
    if value and not (user and password and value.isprintable()):
        raise SettingError("EMAIL_WEBHOOK_AUTH is not usable: expected user:password")
    return value.encode() or None


def emails_per_sender_per_hour() -> int:
    """EMAILS_PER_SENDER_PER_HOUR: how many emails of one sender are answered in an hour; the rest goes to a person."""
    return _whole_number("EMAILS_PER_SENDER_PER_HOUR", 10)


def stripe_webhook_secrets() -> list[str]:
    """STRIPE_WEBHOOK_SECRET: one signing secret, or several separated by spaces while one is being rolled."""
    secrets = os.environ.get("STRIPE_WEBHOOK_SECRET", "").split()
    if not all(re.fullmatch(r"whsec_\S{8,}", secret) for secret in secrets):
        raise SettingError("STRIPE_WEBHOOK_SECRET is not usable: a signing secret begins with whsec_")
    return secrets


# What is told of it all


def metrics_token() -> str | None:
    """METRICS_TOKEN: whoever sends it as a bearer token may read /metrics; None when there is none to send."""
    return _text("METRICS_TOKEN") or None


def metrics_address() -> tuple[str, int] | None:
    """METRICS_LISTEN, host:port: an address of its own at which /metrics is served; None when it has none."""
    value = _text("METRICS_LISTEN")
    if not value:
        return None
    parts = _parts(f"http://{value}", "http")
    if parts is None or not parts.hostname or parts.port is None or parts.netloc != value:
        raise SettingError(f"METRICS_LISTEN is {value!r}: expected host:port, such as 127.0.0.1:9464")
    return parts.hostname, parts.port


def otlp_endpoint() -> str | None:
    """OTEL_EXPORTER_OTLP_ENDPOINT: the OpenTelemetry collector that takes the traces, over HTTP; None for no traces."""
    return _link("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/") or None


# How they are read


def _text(name: str) -> str:
    return os.environ.get(name, "").strip()


def _whole_number(name: str, default: int) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isdecimal() or int(value) < 1:
        raise SettingError(f"{name} is {value!r}: expected a whole number from 1 up.")
    return int(value)


def _link(name: str, default: str) -> str:
    url = os.environ.get(name) or default
    usable = _parts(url, "http", "https") is not None and url.isprintable() and not set(url) & set(" <>|")
    if url and not usable:
        raise SettingError(f"{name} is not a URL: expected https://host/path")
    return url


def _parts(url: str, *schemes: str) -> SplitResult | None:
    """The parts of a URL with one of these schemes and a host; None for anything else."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable else None
