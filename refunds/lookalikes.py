"""Texts that a person takes for the same: for flags that a person reads, and never for a decision about money.

One customer writes A-7001, #7001, "Order ID: a 07001" or A-7OO1 with two letters O, and means the same order. Two
orders that look alike can also be two orders, so whoever asks here tells a person and refuses nothing.
"""

import re
import unicodedata
from functools import lru_cache
from itertools import product

from confusable_homoglyphs import confusables

# Characters that show nothing, or change the direction in which others are read (https://trojansource.codes): controls
# but for tab and line feeds, format characters, fillers, tags and variation selectors but for those of emoji.
INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4"
    "\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Words that stand beside an order's number and name no order.
LABELS = {"order", "ord", "id", "no", "nr", "num", "number", "ref", "reference", "invoice", "purchase", "the", "my"}
ORDINAL = re.compile(r"\d+(?:st|nd|rd|th)")
# The letters that are read as digits, and the other way round.
AS_DIGITS = str.maketrans("oilsbz", "011582")
# Shorter groups of digits tell no order from another, unless they come first or are all there is; nor do shorter words.
TELLING_DIGITS = 3
TELLING_LETTERS = 4


def visible(text: str) -> str:
    """The text with each invisible character spelled out, as [U+202E]."""
    return INVISIBLE.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def fold(text: str) -> str:
    """One spelling for what looks the same: no accents, nothing invisible, small letters, Latin ones where possible.

    Look-alikes of other scripts are those of Unicode's confusables (https://www.unicode.org/reports/tr39/).
    """
    text = INVISIBLE.sub("", text)
    if not text.isascii():
        text = "".join(map(_folded, unicodedata.normalize("NFKD", text)))
    return text.casefold()


@lru_cache(10_000)
def _folded(character: str) -> str:
    if character.isascii():
        return character
    if unicodedata.combining(character):
        return ""
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    looks_like = [other["c"] for other in confusables.confusables_data.get(character, [])]
    return next((other for other in looks_like if other.isascii() and other.isalnum()), character)


def alike(order: str, other: str) -> bool:
    """Whether two order ids may name the same order.

    They do if a number that tells orders apart stands in both, or if nothing but labels, case and separators differs.
    A slash is no such separator: A-7001/2 is not A-70012. Of two ids without a digit, one may be a part of the other.
    """
    if not _numbers(order).isdisjoint(_numbers(other)):
        return True
    has_digits = re.search(r"\d", order + other) is not None
    for shorter, longer in (sorted(pair, key=len) for pair in product(_wholes(order), _wholes(other))):
        if shorter == longer or (not has_digits and len(shorter) >= TELLING_LETTERS and shorter in longer):
            return True
    return False


def _readings(order: str) -> set[str]:
    """A capital and its small letter can look like different Latin ones, or only one of them like any."""
    return {fold(order), fold(order.casefold())}


def _wholes(order: str) -> set[str]:
    words = [re.findall(r"[^\W_]+|/", reading) for reading in _readings(order)]
    return {"".join(word for word in each if word not in LABELS).translate(AS_DIGITS) or order for each in words}


@lru_cache(10_000)
def _numbers(order: str) -> frozenset[str]:
    """The numbers that tell an order from others, with and without letters read as digits; no leading zeros."""
    numbers = set()
    for text in (reading.replace("|", "l") for reading in _readings(order)):
        words = [
            word for word in re.findall(r"[^\W_]+", text) if re.search(r"\d", word) and not ORDINAL.fullmatch(word)
        ]
        for reading in (words, [word.translate(AS_DIGITS) for word in words]):
            groups = re.findall(r"\d+", " ".join(reading))
            numbers |= {*groups[:1], *(group for group in groups if len(group) >= TELLING_DIGITS)}
            if "/" not in text:
                numbers.add("".join(groups))
    return frozenset(number.lstrip("0") or "0" for number in numbers if number)
