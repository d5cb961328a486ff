"""A mail server in this process, that takes what is sent, refuses it, or breaks off as a test wants it to."""

import asyncio
import os
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

OK = "250 OK"
# Of this server only: for localhost and 0.0.0.0, which is this machine and yet no loopback address.
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+ynRTH0LSmstr+bH
2ciUB6DzDPd/OmTciGlSaIRP5kahRANCAATvwEgxFUhi/dQ+17WmJPXdya21LG5c
tf02xMd2tOS2JuhVqETe1mk5YIM5TOiM+Bh+FtpjWb9FBXEDjZDNy+g4
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBwDCCAWegAwIBAgIUMT/UaXOZ88Y+NOvnxGoX394OesAwCgYIKoZIzj0EAwIw
HzEdMBsGA1UEAwwUYSB0ZXN0J3MgbWFpbCBzZXJ2ZXIwIBcNMjAwMTAxMDAwMDAw
WhgPMjEyMDAxMDEwMDAwMDBaMB8xHTAbBgNVBAMMFGEgdGVzdCdzIG1haWwgc2Vy
dmVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE78BIMRVIYv3UPte1piT13cmt
tSxuXLX9NsTHdrTktiboVahE3tZpOWCDOUzojPgYfhbaY1m/RQVxA42QzcvoOKN/
MH0wGgYDVR0RBBMwEYIJbG9jYWxob3N0hwQAAAAAMA8GA1UdEwEB/wQFMAMBAf8w
HQYDVR0OBBYEFOKJL8R+nP7HW5+4Jl7eSt3BAlAVMB8GA1UdIwQYMBaAFOKJL8R+
nP7HW5+4Jl7eSt3BAlAVMA4GA1UdDwEB/wQEAwIBhjAKBggqhkjOPQQDAgNHADBE
AiBwwUcx5KnEarnhUPuvroTmnqmgqfJXzgPMQUwT6e7hNgIgdv6FRwmSEY96Q4qk
bjvMnJxPZpCvbmfmmdfGCbWX6Gc=
-----END CERTIFICATE-----
"""


class MailServer:
    """What was accepted, and how to answer: `recipient` and `data` are replies; `dies` before or after the last 250."""

    def __init__(self) -> None:
        self.port = 0
        self.accepted: list[EmailMessage] = []
        self.raw: list[bytes] = []
        self.envelopes: list[Envelope] = []
        self.tries = 0
        self.recipient = OK
        self.data = OK
        self.dies: str | None = None
        self.login: LoginPassword | None = None

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.tries += 1
        if self.recipient == OK:
            envelope.rcpt_tos.append(address)
        return self.recipient

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.data != OK:
            return self.data
        content = cast(bytes, envelope.original_content)
        self.raw.append(content)
        self.envelopes.append(envelope)
        self.accepted.append(BytesParser(EmailMessage, policy=default).parsebytes(content))
        if self.dies == "before the answer":
            cast(asyncio.WriteTransport, server.transport).abort()
        return self.data

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.dies == "after the answer":
            cast(asyncio.WriteTransport, server.transport).abort()
        return "221 Bye"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, how: str, data: Any) -> AuthResult:
        self.login = data
        return AuthResult(success=(data.login, data.password) == (b"support@shop", b"p/w d"), handled=False)


@asynccontextmanager
async def mail_server(*, tls: str = "", auth: bool = False, port: int = 0) -> AsyncIterator[MailServer]:
    """A running server; `tls` is "" for none, "starttls" or "from the start"."""
    handler = MailServer()
    context = _context() if tls else None
    loop = asyncio.get_running_loop()

    def protocol() -> SMTP:
        return SMTP(
            handler,
            hostname="mail.test",
            loop=loop,
            timeout=30,
            enable_SMTPUTF8=False,
            tls_context=context if tls == "starttls" else None,
            require_starttls=tls == "starttls",
            authenticator=handler.authenticate,
            auth_required=auth,
            auth_require_tls=tls == "starttls",
        )

    server = await loop.create_server(
        protocol, "127.0.0.1", port, ssl=context if tls == "from the start" else None, reuse_address=True
    )
    handler.port = server.sockets[0].getsockname()[1]
    try:
        yield handler
    finally:
        server.close()


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
        file.write(CERTIFICATE)
    context.load_cert_chain(file.name)
    os.unlink(file.name)
    return context
