"""What a run of the cases came to: passed, by kind, pass^k, and what it cost."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb

from evals.cases import Case
from telemetry import report as cost


@dataclass(frozen=True)
class Result:
    """A case, and what was wrong at each try."""

    case: Case
    tries: list[list[str]]

    @property
    def passed(self) -> int:
        """How many tries passed."""
        return sum(not problems for problems in self.tries)


def pass_hat(results: Sequence[Result], k: int) -> float:
    """Pass^k: how likely it is that k tries of one case, drawn from those made, all pass; the mean over the cases.

    It comes from the tau-bench paper (https://arxiv.org/abs/2406.12045).
    """
    shares = [comb(result.passed, k) / comb(len(result.tries), k) for result in results]
    return sum(shares) / len(shares)


def lines(results: Sequence[Result], model: str, used: cost.Line) -> Iterator[str]:
    """The report, line by line."""
    tries = len(results[0].tries)
    whole = sum(result.passed == tries for result in results)
    yield f"{whole} of {len(results)} cases passed, {tries} {'try' if tries == 1 else 'tries'} each, with {model}."
    yield ""
    for kind in dict.fromkeys(result.case.kind for result in results):
        of_kind = [result for result in results if result.case.kind == kind]
        passed = sum(result.passed for result in of_kind)
        yield f"  {kind:18} {passed:3} of {tries * len(of_kind):3}"
    yield ""
    yield "  ".join(f"pass^{k} {pass_hat(results, k):.2f}" for k in range(1, tries + 1))
    yield f"{used.calls} calls to the model, {used.tokens:,} tokens, {used.money}"
    for result in results:
        for number, problems in enumerate(result.tries, 1):
            for problem in problems:
                yield f"FAILED {result.case.name} (try {number}): {problem}"
