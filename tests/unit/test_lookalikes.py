"""What looks alike to a person: spellings of one order, and texts with something invisible in them."""

import sys
import unicodedata

import pytest

from refunds.lookalikes import alike, visible

SPELLINGS = [
    "A-7001",
    "#7001",
    "Order ID: A-7001",
    "order no. a 7001",
    "A-7001 (second charge)",
    "A-7001 (2nd)",
    "A-7OO1",
    "A-700l",
    "A-700|",
    "A-07001",
    "ORD-A-7001",
    "A7001",
    "7 0 0 1",
    "7.001",
    "A\u20137001",
    "\uff21\uff0d\uff17\uff10\uff10\uff11",
    "\u0410-7\u041e\u041e1",
    "A-\u0667\u0660\u0660\u0661",
    "A-70\u200b01",
    "A-7001/2",
    "A-7\u041e\u041e\u0406",
    "\u24d0-\u2466\u24ea\u24ea\u2460",
    "https://shop.example/orders/A-7001",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_one_order_in_many_spellings_looks_alike(spelling: str) -> None:
    assert alike("A-7001", spelling)
    assert alike(spelling, "A-7001")
    assert not alike("A-7002", spelling)


@pytest.mark.parametrize(
    ("order", "other"),
    [
        ("A-7001/2", "A-70012"),
        ("A-1", "A-2"),
        ("A-1", "A-11"),
        ("A-1001", "A-10012"),
        (
            "\u0437\u0430\u043a\u0430\u0437-\u0430\u043b\u044c\u0444\u0430",
            "\u0437\u0430\u043a\u0430\u0437-\u0431\u0435\u0442\u0430",
        ),
        ("\u6ce8\u6587\u7532", "\u6ce8\u6587\u4e59"),
        ("#", "--"),
    ],
)
def test_other_orders_do_not(order: str, other: str) -> None:
    assert not alike(order, other)


@pytest.mark.parametrize(
    ("order", "other"),
    [
        ("ALPHA", "\u0410L\u0420HA"),
        ("ALPHA", "my order alpha (again)"),
        ("\u6ce8\u6587 \u7532", "\u6ce8\u6587\u7532"),
        ("#", "#"),
        ("\u0412\u0415\u0420\u0410", "\u0432\u0435\u0440\u0430"),
        ("\u0412\u0435\u0440\u0430", "\u0417\u0430\u043a\u0430\u0437 \u0432\u0435\u0440\u0430"),
    ],
)
def test_an_order_without_digits_looks_like_itself(order: str, other: str) -> None:
    assert alike(order, other)


def test_every_invisible_character_is_spelled_out_and_nothing_else_is() -> None:
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character) in {"Cf", "Zl", "Zp"}:
            assert visible(character) == f"[U+{code:04X}]"
    plain = "tab\tline\nr\u00e9sum\u00e9 \u6ce8\u6587 \u0939\u093f\u0928\u094d\u0926\u0940 \u2764\ufe0f"
    assert visible(plain) == plain
    assert visible("A\u202e1\u3164\x07") == "A[U+202E]1[U+3164][U+0007]"
