"""How the demo measures concurrency and decides whether its claims hold. Runs without anything."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from offline.demo.claims import Claims, Interval, merged, peak

START = datetime(2026, 1, 1, tzinfo=UTC)


def span(start: int, end: int) -> Interval:
    return START + timedelta(seconds=start), START + timedelta(seconds=end)


def test_the_peak_is_the_most_that_ran_at_one_moment() -> None:
    assert peak([span(0, 10), span(1, 3), span(2, 5), span(4, 6)]) == 3


def test_one_that_begins_as_another_ends_does_not_run_beside_it() -> None:
    assert peak([span(0, 1), span(1, 2), span(2, 3)]) == 1


def test_nothing_has_no_peak() -> None:
    assert peak([]) == 0


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)), max_size=12))
def test_the_peak_agrees_with_looking_at_every_second(times: list[tuple[int, int]]) -> None:
    spans = [span(start, start + length) for start, length in times]
    seconds = (START + timedelta(seconds=second) for second in range(41))
    assert peak(spans) == max(sum(start <= now < end for start, end in spans) for now in seconds)


def test_a_run_that_is_listed_twice_counts_once() -> None:
    assert merged([span(0, 5), span(1, 4), span(4, 6), span(8, 9)]) == [span(0, 6), span(8, 9)]


def test_one_claim_that_does_not_hold_is_enough() -> None:
    claims = Claims()
    claims.check("D1", "this", "so", True)
    assert claims.hold
    claims.check("D2", "that", "not so", False)
    assert not claims.hold


def test_no_claims_prove_nothing() -> None:
    assert not Claims().hold
