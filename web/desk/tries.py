"""Slows down whoever guesses passwords, and locks nobody out: a reviewer has hours for a refund, not days.

Tries are counted by name and network together, so that a stranger's wrong passwords do not keep the reviewer waiting,
and by network, for whoever tries many names. They are rows, so the count holds for all processes of the app.
"""

import hashlib
import math
from datetime import timedelta

from db import clean, fetch

COUNTED_FOR = timedelta(minutes=15)
# This many tries cost nothing. After them, the pause before the next one is 1 second, then 2, 4, and so on.
FREE_FOR_NAME = 5
FREE_FOR_NETWORK = 30
LONGEST_PAUSE_SECONDS = 60


class TooManyTriesError(Exception):
    """Sign-in was tried too often; the next try is allowed after `seconds`."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


async def count(name: str, network: str) -> None:
    """Count a try that may fail. Raises TooManyTriesError for one that comes too soon, which is not counted."""
    await fetch("delete from sign_in_tries where at < now() - $1::interval", COUNTED_FOR)
    # The row is written before the earlier ones are counted, so that tries made at once see each other.
    [row] = await fetch(
        "insert into sign_in_tries (who, network) values ($1, $2) returning id", _who(name, network), _sha256(network)
    )
    [earlier] = await fetch(
        "select count(*) as of_network, count(*) filter (where who = $2) as of_name,"
        " extract(epoch from now() - max(at))::float8 as since_network,"
        " extract(epoch from now() - max(at) filter (where who = $2))::float8 as since_name"
        " from sign_in_tries where network = $1 and id <> $3",
        _sha256(network),
        _who(name, network),
        row["id"],
    )
    pause = max(
        _pause(earlier["of_name"] - FREE_FOR_NAME) - (earlier["since_name"] or 0),
        _pause(earlier["of_network"] - FREE_FOR_NETWORK) - (earlier["since_network"] or 0),
    )
    if pause > 0:
        await fetch("delete from sign_in_tries where id = $1", row["id"])
        raise TooManyTriesError(math.ceil(pause))


async def forget(name: str, network: str) -> None:
    """Forget the tries of a name from a network, because the password was right."""
    await fetch("delete from sign_in_tries where network = $1 and who = $2", _sha256(network), _who(name, network))


def _pause(too_many: int) -> int:
    """The seconds between two tries, of which there were this many more than are free."""
    return min(2**too_many, LONGEST_PAUSE_SECONDS) if too_many >= 0 else 0


def _who(name: str, network: str) -> bytes:
    return _sha256(f"{name}\n{network}")


def _sha256(text: str) -> bytes:
    # Hashed, because some people type their password where the name belongs.
    return hashlib.sha256(str(clean(text)).encode()).digest()
