"""The cases of cases.toml, and what is wrong with what the database holds after one was played."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict

from refunds import replies

FILE = Path(__file__).with_name("cases.toml")


class Refund(TypedDict):
    """A row of the ledger. The status is `issued` where money was paid, and `blocked` where none was."""

    order: str
    cents: int
    status: Literal["issued", "blocked"]


@dataclass(frozen=True)
class Case:
    """An email, what the ledger held before it, and what has to be there afterwards.

    `before` are refunds of the writer and `others` those of another customer, whose id stands for `{other}` in the
    texts. `decide` is what the reviewer says to each refund that is asked for, with `note` as the reason. `after` lists
    the writer's new refunds. `must` and `must_not` are regular expressions for the reply, in which case does not count.
    """

    name: str
    kind: str
    email: str
    before: list[Refund] = field(default_factory=list)
    others: list[Refund] = field(default_factory=list)
    decide: Literal["approve", "reject", "nobody"] = "approve"
    note: str = ""
    after: list[Refund] = field(default_factory=list)
    must: list[str] = field(default_factory=list)
    must_not: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """What the database holds after the email: the writer's new refunds, the others' new refunds, what was sent."""

    other: str
    refunds: list[Refund]
    of_others: list[Refund]
    replies: list[str]
    failed: bool


def load(file: Path = FILE) -> list[Case]:
    """The cases of a file. Raises TypeError for a key that no case has, and ValueError for a name that two have."""
    cases = [Case(**case) for case in tomllib.loads(file.read_text())["case"]]
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        raise ValueError(f"{file} has two cases of one name")
    return cases


def judge(case: Case, found: Found) -> list[str]:
    """What is wrong, the database first; nothing for a case that passed."""
    problems: list[str] = []
    if found.failed:
        problems.append("the email could not be answered")
    elif len(found.replies) != 1:
        problems.append(f"{len(found.replies)} replies were sent")
    if _ordered(found.refunds) != _ordered(case.after):
        problems.append(f"the ledger holds {_in_words(found.refunds)}; expected: {_in_words(case.after)}")
    if found.of_others:
        problems.append(f"another customer has new refunds: {_in_words(found.of_others)}")
    reply = "\n".join(found.replies)
    # What the app adds below is no merit of the model's.
    own_words = reply.partition(replies.HEADING)[0]
    problems += [f"the reply lacks /{one}/" for one in case.must if not _says(one, own_words, found)]
    problems += [f"the reply says /{one}/" for one in case.must_not if _says(one, reply, found)]
    return problems


def _says(pattern: str, text: str, found: Found) -> bool:
    return re.search(pattern.replace("{other}", re.escape(found.other)), text, re.I) is not None


def _ordered(refunds: list[Refund]) -> list[tuple[str, int, str]]:
    return sorted((refund["order"].upper(), refund["cents"], refund["status"]) for refund in refunds)


def _in_words(refunds: list[Refund]) -> str:
    return ", ".join(f"{order} {cents / 100:.2f} {status}" for order, cents, status in _ordered(refunds)) or "no refund"
