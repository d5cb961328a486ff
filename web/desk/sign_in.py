"""Who is at the desk: sessions, and the tokens that keep other sites from posting forms.

A visitor has one random token in one cookie. While the visitor is signed in, a row in Postgres has the token's SHA-256.
Signing in makes a new token, signing out deletes the cookie. The CSRF token of every form is an HMAC with the visitor's
token as its key, so that a form is worth nothing without the cookie.
"""

import hashlib
import hmac
import ipaddress
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from fastapi import Request, Response

import db
import settings
from web.desk import reviewers, tries

SESSION = timedelta(hours=12)
DEV_REVIEWER = "dev-mode reviewer"
LOOPBACK_HOSTS = {"localhost", "127.0.0.1", "::1"}
# Proxies and tunnels add these headers. A request that came through a tunnel on this machine looks as if it came from
# this machine, and may even have this machine's name as its Host.
FORWARDED = {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"}
logger = logging.getLogger("customer-support")


class ClosedError(Exception):
    """The desk does not answer this request; the text says why."""


class SignedOutError(Exception):
    """There is no session, or it has ended."""


class ForgedError(Exception):
    """The form was not rendered for this visitor, or another site sent it."""


@dataclass(frozen=True)
class Visitor:
    """Somebody with a cookie, or somebody new who is about to get one; `name` is set for a signed-in reviewer.

    A reviewer's page also says how much needs a person; see web/desk/person.py.
    """

    token: str
    name: str | None = None
    is_new: bool = False
    need_a_person: int = 0

    @property
    def csrf(self) -> str:
        """The CSRF token that is in every form of this visitor."""
        return hmac.digest(self.token.encode(), b"desk form", "sha256").hex()


class SignIn:
    """Signing in to one desk. With `dev` and no reviewer configured, whoever is on this machine needs no sign-in.

    Raises settings.SettingError for a REVIEWERS that cannot work.
    """

    def __init__(self, *, dev: bool) -> None:
        self.dev = dev
        self.reviewers = settings.reviewers()
        self.open_to_all = dev and not self.reviewers
        self._check = reviewers.PasswordCheck(self.reviewers)
        # A browser takes a cookie of this name only over https, for this host and all of it.
        self._cookie = "desk" if dev else "__Host-desk"

    def visitor(self, request: Request) -> Visitor:
        """Who asks, as far as the cookie says. Raises ClosedError when the desk is not open to this request at all."""
        if self.open_to_all and not _from_this_machine(request):
            raise ClosedError("Without sign-in, the desk answers only to a browser on the machine it runs on.")
        if not self.open_to_all and not self.reviewers:
            raise ClosedError("Nobody is configured to decide here.")
        token = request.cookies.get(self._cookie)
        return Visitor(token) if token else Visitor(secrets.token_urlsafe(32), is_new=True)

    async def reviewer(self, request: Request) -> Visitor:
        """The signed-in reviewer. Raises SignedOutError, and ClosedError as `visitor` does."""
        visitor = self.visitor(request)
        [row] = await db.fetch(
            "select n.need_a_person, s.reviewer, s.credential_sha256 from"
            " (select count(*) as need_a_person from (select from needs_person where done_at is null limit 100) _) n"
            " left join reviewer_sessions s on s.token_sha256 = $1 and s.expires_at > now()",
            _sha256(visitor.token),
        )
        if self.open_to_all:
            return Visitor(visitor.token, DEV_REVIEWER, visitor.is_new, row["need_a_person"])
        password_hash = self.reviewers.get(row["reviewer"])
        if password_hash and reviewers.credential(password_hash) == row["credential_sha256"]:
            return Visitor(visitor.token, row["reviewer"], need_a_person=row["need_a_person"])
        raise SignedOutError

    def check_form(self, request: Request, visitor: Visitor, form: Mapping[str, str]) -> None:
        """Raise ForgedError unless this site's own page, rendered for this visitor, sent the form."""
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        if site is None and origin is not None:
            # Hosts are compared and not schemes, because a proxy may speak https to the browser and http to us.
            site = "same-origin" if origin.partition("://")[2] == request.headers.get("host") else "cross-site"
        is_ours = hmac.compare_digest(form.get("csrf", "").encode(), visitor.csrf.encode())
        if site not in {None, "same-origin"} or not is_ours:
            raise ForgedError

    async def sign_in(self, request: Request, visitor: Visitor, name: str, password: str) -> Visitor | None:
        """A visitor with a session and a new token; None for a wrong name or password.

        Raises tries.TooManyTriesError. Every failure is logged, with the name only if it is a reviewer's.
        """
        network = _network(request)
        known = name if name in self.reviewers else "an unknown name"
        try:
            await tries.count(name, network)
        except tries.TooManyTriesError as error:
            logger.warning("Sign-in of %s from %s has to wait for %d seconds", known, network, error.seconds)
            raise
        if not await self._check(name, password):
            logger.warning("Sign-in of %s from %s failed", known, network)
            return None
        await tries.forget(name, network)
        signed_in = Visitor(secrets.token_urlsafe(32), name, is_new=True)
        await self.sign_out(visitor)
        await db.fetch(
            "insert into reviewer_sessions values ($1, $2, $3, now() + $4) on conflict do nothing",
            _sha256(signed_in.token),
            name,
            reviewers.credential(self.reviewers[name]),
            SESSION,
        )
        return signed_in

    async def sign_out(self, visitor: Visitor) -> None:
        """End the visitor's session, and forget the sessions whose time is up."""
        await db.fetch(
            "delete from reviewer_sessions where token_sha256 = $1 or expires_at <= now()", _sha256(visitor.token)
        )

    def set_cookie(self, response: Response, visitor: Visitor) -> None:
        """Give a new visitor the cookie."""
        if visitor.is_new:
            response.set_cookie(
                self._cookie,
                visitor.token,
                max_age=int(SESSION.total_seconds()),
                httponly=True,
                samesite="lax",
                secure=not self.dev,
            )

    def delete_cookie(self, response: Response) -> None:
        """Take the cookie away."""
        response.delete_cookie(self._cookie, httponly=True, samesite="lax", secure=not self.dev)


def _sha256(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _from_this_machine(request: Request) -> bool:
    """Whether a browser on this machine asks, directly and by this machine's own name.

    The name is checked because another site's name can be made to lead to this machine (DNS rebinding).
    """
    if FORWARDED & set(request.headers):
        return False
    try:
        local = request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
        return local and urlsplit(f"//{request.headers.get('host', '')}").hostname in LOOPBACK_HOSTS
    except ValueError:
        return False


def _network(request: Request) -> str:
    """The client's address. Of an IPv6 address it is the /64 network, because one household has all of that."""
    address = request.client.host if request.client else ""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
