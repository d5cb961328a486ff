"""`python -m gates break`: each fault finds its place in the reference app, and the learner is led to it and back."""

import ast
from pathlib import Path

import pytest

from gates import breaking, source
from gates.faults import FAULTS, Fault
from gates.report import Advice, Report
from gates.world import Build

ROOT = Path(__file__).parents[2]
APP = """\
import inngest

client = inngest.Inngest(app_id="mine")


@client.create_function(
    fn_id="mail",
    trigger=inngest.TriggerEvent(event="customer/email.received"),
    throttle=inngest.Throttle(limit=30, period=minute, burst=2),
)
async def mail(ctx): ...
"""


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A learner's folder, which is the current one."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    (folder / ".env").write_text("INNGEST_DEV=1\n")
    monkeypatch.chdir(folder)
    return folder


def broken(*arguments: str, repaired: bool = False) -> int:
    async def judge(_: list[str], __: Build, report: Report) -> None:
        report.check("a function on it", "none", repaired, Advice("a typo", "webhooks"))

    return breaking.main(list(arguments), lambda _: Build("", ""), judge)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_fault_has_a_place_in_the_reference(fault: Fault) -> None:
    found = breaking.broken(fault, ROOT)
    assert found is not None
    path, text = found
    ast.parse(text)
    assert text != path.read_text()
    assert all(line == line.rstrip() for line in text.splitlines())


def test_a_copy_is_broken_and_the_build_stays_as_it_is(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert broken("misspelt") == 0
    copy = build.with_name("mine-broken")
    assert "nobody answers them" in capsys.readouterr().out
    assert "recieved" in (copy / "app.py").read_text()
    assert (copy / ".env").exists()
    assert (build / "app.py").read_text() == APP
    assert broken("--check") == 1
    assert "a typo" not in capsys.readouterr().out
    assert broken("--hint") == broken("--tell") == broken("--check", repaired=True) == 0
    told = capsys.readouterr().out
    assert '+    trigger=inngest.TriggerEvent(event="customer/email.recieved"),' in told
    assert "It was misspelt." in told


def test_a_rate_limit_has_no_burst(build: Path) -> None:
    assert broken("drops") == 0
    assert "rate_limit=inngest.RateLimit(limit=30, period=minute)," in (build / "../mine-broken/app.py").read_text()


def test_what_a_build_has_no_place_for_is_said(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert broken("for-weeks") == 2
    assert "it needs a wait of timedelta(hours=4)" in capsys.readouterr().err
    assert broken("--list") == 0
    assert "no place for it here: it needs a daily TriggerCron" in capsys.readouterr().out
    assert broken("--check") == 2


def test_a_folder_of_somebody_else_is_left_alone(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build.with_name("mine-broken").mkdir()
    assert broken("misspelt") == 2
    assert "not by me" in capsys.readouterr().err
    assert source.files(build.with_name("mine-broken")) == []
