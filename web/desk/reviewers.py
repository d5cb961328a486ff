"""Who may decide: named reviewers and the hashes of their passwords, from `REVIEWERS`.

    python -m web.desk.reviewers ada

asks for a password twice and prints the entry to put there.
"""

import asyncio
import hashlib
import os
import re
import sys
import unicodedata
from getpass import getpass

import argon2

NAME = re.compile(r"[\w.@+-]{1,64}")
PASSWORD_MIN_CHARS = 12
# Each check takes about 64 MB and a tenth of a second of one processor.
CHECKS_AT_ONCE = 2
# What the ledger and the history call others than reviewers.
RESERVED = {"nobody", "run"}


def configured() -> dict[str, str]:
    """The argon2id hash of every reviewer's password, by name; none when `REVIEWERS` is not set.

    Raises ValueError, in one sentence that names no hash, for an entry that could not sign in.
    """
    reviewers: dict[str, str] = {}
    for number, entry in enumerate(os.environ.get("REVIEWERS", "").split(), 1):
        name, _, password_hash = entry.partition(":")
        if not NAME.fullmatch(name) or name in RESERVED:
            raise ValueError(
                f"REVIEWERS, entry {number}: expected name:hash as `python -m web.desk.reviewers NAME` prints it"
            )
        try:
            usable = argon2.extract_parameters(password_hash).type is argon2.Type.ID
        except argon2.exceptions.InvalidHashError:
            usable = False
        if not usable:
            raise ValueError(
                f"REVIEWERS: {name}'s entry has no argon2id hash; does something between here and there replace $...?"
                " Quote it, or print a new one with `python -m web.desk.reviewers`"
            )
        if name in reviewers:
            raise ValueError(f"REVIEWERS names {name} twice")
        reviewers[name] = password_hash
    return reviewers


def credential(password_hash: str) -> bytes:
    """SHA-256 of a password's hash: enough to see that the password was changed."""
    return hashlib.sha256(password_hash.encode()).digest()


def _typed(password: str) -> str:
    # Keyboards differ in how they compose the same letter.
    return unicodedata.normalize("NFKC", password)


class PasswordCheck:
    """Checks passwords beside the event loop, a few at once; an unknown name takes as long as a known one."""

    def __init__(self, reviewers: dict[str, str]) -> None:
        self._reviewers = reviewers
        self._hasher = argon2.PasswordHasher()
        self._turns = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def __call__(self, name: str, password: str) -> bool:
        """Whether this is the password of the reviewer of that name."""
        # For an unknown name somebody's hash is checked in vain.
        password_hash = self._reviewers.get(name) or next(iter(self._reviewers.values()))
        async with self._turns:
            right = await asyncio.to_thread(self._verify, password_hash, password)
        return right and name in self._reviewers

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, _typed(password))
        except argon2.exceptions.VerificationError:
            return False


def _main() -> None:
    if len(sys.argv) != 2 or not NAME.fullmatch(sys.argv[1]) or sys.argv[1] in RESERVED:  # noqa: PLR2004
        sys.exit("Usage: python -m web.desk.reviewers NAME (letters, digits and . _ @ + -)")
    password = getpass(f"Password for {sys.argv[1]}: ")
    if len(password) < PASSWORD_MIN_CHARS:
        sys.exit(f"At least {PASSWORD_MIN_CHARS} characters, please: a few random words are easy to type.")
    if getpass("Again: ") != password:
        sys.exit("The two are not the same; nothing was printed.")
    print(f"{sys.argv[1]}:{argon2.PasswordHasher().hash(_typed(password))}")
    print("Put this line into REVIEWERS in .env, in single quotes, entries separated by spaces.", file=sys.stderr)


if __name__ == "__main__":
    _main()
