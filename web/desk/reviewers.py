"""Checks reviewers' passwords, and makes the entries of `REVIEWERS` (settings.py reads them).

    python -m web.desk.reviewers ada

asks twice for Ada's password and prints her entry.
"""

import argparse
import asyncio
import hashlib
import sys
import unicodedata
from getpass import getpass

import argon2

import settings

PASSWORD_MIN_CHARS = 12
# Each check takes about 64 MB of memory and a tenth of a second of one processor.
CHECKS_AT_ONCE = 2


def credential(password_hash: str) -> bytes:
    """SHA-256 of a password's hash. A session keeps it, and so ends when the password is changed."""
    return hashlib.sha256(password_hash.encode()).digest()


def _normalized(password: str) -> str:
    """One spelling of a password: keyboards differ in how they compose the same letter."""
    return unicodedata.normalize("NFKC", password)


class PasswordCheck:
    """Checks passwords in threads, a few at a time. An unknown name takes as long as a known one."""

    def __init__(self, hashes: dict[str, str]) -> None:
        self._hashes = hashes
        self._hasher = argon2.PasswordHasher()
        self._turns = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def __call__(self, name: str, password: str) -> bool:
        """Whether this is the password of the reviewer of that name."""
        # For an unknown name the password is compared with somebody else's hash, and the answer is no.
        password_hash = self._hashes.get(name) or next(iter(self._hashes.values()))
        async with self._turns:
            matches = await asyncio.to_thread(self._verify, password_hash, password)
        return matches and name in self._hashes

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, _normalized(password))
        except argon2.exceptions.VerificationError:
            return False


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m web.desk.reviewers", description="Ask for a reviewer's password and print their entry."
    )
    parser.add_argument("name", metavar="NAME", help="letters, digits and . _ @ + -")
    name = parser.parse_args().name
    if not settings.is_reviewer_name(name):
        parser.error(f"a reviewer cannot be called {name!r}")
    password = getpass(f"Password for {name}: ")
    if len(password) < PASSWORD_MIN_CHARS:
        sys.exit(f"At least {PASSWORD_MIN_CHARS} characters, please: a few random words are easy to type.")
    if getpass("Again: ") != password:
        sys.exit("The two are not the same; nothing was printed.")
    print(f"{name}:{argon2.PasswordHasher().hash(_normalized(password))}")
    print("Put this line into REVIEWERS in .env, in single quotes, entries separated by spaces.", file=sys.stderr)


if __name__ == "__main__":
    _main()
