"""The code in the skills, as a coding agent copies it, type-checks and does what the skill says.

Inngest functions run on the stand-in engine, and the code for the database on Postgres.
"""

import json
import re
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.durable.driver import OFFICIAL, Engine

ROOT = Path(__file__).parents[2]
SKILLS = ROOT / ".claude" / "skills"
BLOCK = re.compile(r"```(python|json)\n(.*?)```", re.S)
MODULES = {
    f"{path.relative_to(SKILLS)}:{number}".replace("/", "-"): code
    for path in sorted(SKILLS.rglob("*.md"))
    for number, (kind, code) in enumerate(BLOCK.findall(path.read_text()))
    if kind == "python"
}
# Without these, which no example uses, a first run takes a third of the time: 7 s of processor time.
MYPY = """
[mypy]
strict = True
[mypy-openai.*,mcp.*,mcp_types.*,stripe.params.*,stripe.v2.*,stripe.events.*]
follow_imports = skip
"""
# For each event in a skill: how far the clock is moved, time after time, and the outputs of all runs that come of it.
OUTCOMES: dict[str, tuple[list[timedelta], list[object]]] = {
    "hello/said": ([], ["Hello, Ada!"]),
    "shop/import.requested": ([], [2, "noted A-1", "noted A-2"]),
    "stripe/charge.refund.failed": ([], ["ch_1: 49.00 came back"]),
    "trial/started": ([timedelta(days=1), timedelta(days=3)], ["0 logins, no order"]),
    "errors/order": ([], ["declined"]),
    "checks/all.requested": ([], [2, "cust_001 is fine", "cust_002 is fine"]),
    "flow/asked": ([timedelta(seconds=5)], ["prioritized", "rate-limited", "debounced", "alone", 1, "once"]),
}


def examples() -> list[Any]:
    """Every block of Python that is followed by an event which starts its functions."""
    found = []
    for path in sorted(SKILLS.rglob("*.md")):
        blocks = BLOCK.findall(path.read_text())
        for (kind, code), (next_kind, event) in pairwise(blocks):
            if (kind, next_kind) == ("python", "json"):
                found.append(pytest.param(code, json.loads(event), id=str(path.relative_to(SKILLS))))
    return found


@pytest.mark.skipif(bool(OFFICIAL), reason="each example needs an engine of its own, and its clock")
@pytest.mark.parametrize(("code", "event"), examples())
async def test_an_example_does_what_its_skill_says(code: str, event: dict[str, Any]) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "example", "exec"), names)  # noqa: S102
    advances, outputs = OUTCOMES[event["name"]]
    async with Engine() as engine:
        await engine.serve(names["app"])
        await engine.send(**event)
        await engine.settle()
        for duration in advances:
            await engine.advance(seconds=duration.total_seconds())
        runs = engine.dev_server.runs()
        assert {run.status.value for run in runs} == {"Completed"}
        assert sorted((run.output for run in runs), key=str) == sorted(outputs, key=str)


def test_every_signature_is_the_installed_one(tmp_path: Path) -> None:
    assert len(MODULES) >= 11
    files = [tmp_path / f"example_{number}.py" for number in range(len(MODULES))]
    for file, code in zip(files, MODULES.values(), strict=True):
        file.write_text(code)
    configuration = tmp_path / "mypy.ini"
    configuration.write_text(MYPY)
    options = ["--no-error-summary", "--config-file", str(configuration), "--cache-dir", ".cache/mypy-skills"]
    # In this process, which holds a million objects, it would take twice as long.
    mypy = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *map(str, files)], capture_output=True, text=True, check=False
    )
    assert mypy.stdout + mypy.stderr == ""


@pytest.mark.parametrize("name", [name for name, code in MODULES.items() if "asyncio.run(" in code])
def test_the_code_for_the_database_runs(name: str, database: None, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(MODULES[name])
    subprocess.run([sys.executable, str(script)], check=True, cwd=tmp_path)


@pytest.mark.parametrize("path", sorted(SKILLS.rglob("SKILL.md")), ids=lambda path: path.parent.name)
def test_a_skill_can_be_found_and_its_references_exist(path: Path) -> None:
    text = path.read_text()
    head = re.match(r"---\nname: ([a-z-]+)\ndescription: (.+)\n---\n", text)
    assert head is not None
    assert head.group(1) == path.parent.name
    # The format of skills sets these limits.
    assert len(head.group(1)) <= 64
    assert len(head.group(2)) <= 1024
    named = set(re.findall(r"`(references/[a-z-]+\.md)`", text))
    assert named == {str(file.relative_to(path.parent)) for file in path.parent.glob("references/*.md")}
