"""The watch checks again after a change and only then, and what it finds is remembered. Needs nothing running."""

import os
from pathlib import Path

import pytest

from gates import progress, watch
from gates.report import Advice, Report
from gates.watch import Seen, SettingsChangedError, Watch

ADVICE = Advice("the step is no step", "AGENTS.md")
GATES = ["quick-win", "d0"]


class Build:
    """A build that its test changes, the gate that looks at it, and how often it did."""

    def __init__(self) -> None:
        self.seen = Seen({"hello.py": 1})
        self.holds = False
        self.checks: list[str] = []
        self.begins: dict[str, str] = {}

    async def look(self) -> Seen:
        return self.seen

    async def check(self, gate: str, report: Report) -> None:
        self.checks.append(gate)
        report.begin(gate.upper(), "A gate")
        report.check("a step", "none", self.holds, ADVICE)
        self.seen = Seen(self.seen.files, self.seen.functions, self.seen.runs | self.begins)


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watch, "POLL_SECONDS", 0)
    return Build()


async def test_a_gate_runs_again_when_a_file_or_a_run_changes_and_not_for_its_own_runs(build: Build) -> None:
    watching = Watch(GATES, build.check, build.look)
    build.begins = {"begun by the gate": "RUNNING"}
    changes = [
        (build.seen, True),
        (Seen({"hello.py": 1}, [], {"begun by the gate": "FAILED"}), False),
        (Seen({"hello.py": 2}, [], {"begun by the gate": "FAILED"}), True),
        (Seen({"hello.py": 2}, [], {"a learner's": "RUNNING"}), True),
        (Seen({"hello.py": 2}, [], {"a learner's": "RUNNING"}), False),
        (Seen({"hello.py": 2}, [], {"a learner's": "FAILED"}), True),
    ]
    for seen, checked in changes:
        build.seen = seen
        assert await watching.check_after_a_change("d0") is checked
    build.seen = Seen({".env": 1})
    with pytest.raises(SettingsChangedError):
        await watching.check_after_a_change("d0")


async def test_it_goes_on_when_a_decision_is_done_and_ends_after_the_last(
    build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    build.holds = True
    await Watch(GATES, build.check, build.look).until_all_is_done()
    assert build.checks == GATES
    assert capsys.readouterr().out.endswith("1 hold. d0 is done. Nothing is left to watch.\n")


async def test_the_advice_is_kept_for_whoever_asks(build: Build, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Nothing is known of quick-win yet" in progress.hint(GATES)
    await Watch(GATES, build.check, build.look).check_after_a_change("quick-win")
    assert ADVICE.cause not in capsys.readouterr().out
    assert progress.hint(GATES).startswith("a step: none\n  likely: the step is no step\n  reread: ")


async def test_the_list_shows_where_one_stands(build: Build) -> None:
    build.holds = True
    watching = Watch(GATES, build.check, build.look)
    await watching.check_after_a_change("quick-win")
    build.holds = False
    await watching.check_after_a_change("d0")
    first, second, _, here = progress.listing({"quick-win": "A greeting", "d0": "A worker"}).splitlines()
    assert (first[:13], "1 hold." in first) == ("  ✓ quick-win", True)
    assert (second[:6], "1 do not hold" in second) == ("→ ✗ d0", True)
    assert here.startswith("You are at d0")
    progress.FILE.write_text("broken")
    assert progress.current(GATES) == "quick-win"


def test_what_is_in_the_files_of_a_build_is_watched_and_nothing_else(build: Build) -> None:
    for name in [
        "worker.py",
        ".env",
        "steps/one.py",
        "gates/d0.py",
        ".offline/two.py",
        "env/pyvenv.cfg",
        "env/three.py",
    ]:
        path = Path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text("before")
    before = watch.files_here()
    assert sorted(before) == [".env", "steps/one.py", "worker.py"]
    os.utime("worker.py", ns=(5, 5))
    assert watch.files_here() == before
    Path("worker.py").write_text("after")
    assert watch.files_here() != before
