"""The documents lead to files that exist, and what coding agents are given is whole. Runs without anything."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from telemetry import cost, tiers

ROOT = Path(__file__).parents[2]
COMMANDS = sorted((ROOT / ".claude" / "commands").glob("*.md"))
DECISIONS = ["quick-win", "d0", "d1", "d2", "d3", "d4", "d5", "d6"]


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "concepts").glob("*.md"))]


def links_of(page: Path) -> list[str]:
    """The links and pictures of a page that lead to files."""
    return re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    assert [link for link in links_of(page) if not (page.parent / link).exists()] == []


def test_the_index_leads_to_every_page_and_the_readme_to_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages <= set(links_of(index))
    assert "docs/README.md" in links_of(ROOT / "README.md")


def test_the_dapr_table_has_the_courses_twelve_rows() -> None:
    dapr = (ROOT / "docs" / "swap.md").read_text().partition("## Dapr")[2].partition("## ")[0]
    assert len(re.findall(r"^\| ", dapr, re.M)) == 13


def test_the_arithmetic_of_retries_is_what_its_command_counts() -> None:
    page = (ROOT / "docs" / "why.md").read_text()
    (command,) = re.findall(r"```\n(python -c .*?)```", page, re.S)
    arguments = shlex.split(command)
    done = subprocess.run([sys.executable, *arguments[1:]], capture_output=True, text=True, check=True)
    counted = [float(line) for line in re.findall(r": ([\d.]+)%", done.stdout)]
    calculated = [100 * (1 - 0.05**attempts) ** 6 for attempts in (1, 2, 3, 5)]
    assert counted == pytest.approx(calculated, abs=0.3)


def test_the_worked_sum_of_the_costs_is_what_its_command_prints() -> None:
    page = (ROOT / "docs" / "cost.md").read_text()
    assert f"```\n{cost.forecast(cost.parsed(['sum']))}\n```" in page
    rows = re.findall(r"^\| (\w+) \| .*? \| (.*?) \| (.*?) \| (.*?) \| .* \|$", page.partition("| tier (")[2], re.M)
    assert rows == [
        (tier.name, f"{tier.executions:,}" if tier.executions else "custom", tier.steps_at_once, tier.longest_sleep)
        for tier in tiers.TIERS
    ]


def test_every_exercise_has_an_answer_that_runs_tests_which_exist() -> None:
    page = (ROOT / "concepts" / "exercises.md").read_text()
    numbers = [int(number) for number in re.findall(r"^## (\d+) ", page, re.M)]
    assert numbers == list(range(1, 16))
    for exercise in re.split(r"^## ", page, flags=re.M)[1:]:
        (answer,) = re.findall(r"<details><summary>Answer</summary>(.*?)</details>", exercise, re.S)
        commands = re.findall(r'^make test ARGS="(.+)"$', answer, re.M)
        assert commands, exercise.splitlines()[0]
        for command in commands:
            assert_selects(shlex.split(command))


def assert_selects(arguments: list[str]) -> None:
    """Each name that follows -k is part of the name of a test in one of the files."""
    files = [argument for argument in arguments if argument.startswith("tests/")]
    tests = " ".join(re.findall(r"def (test_\w+)", "".join((ROOT / file).read_text() for file in files)))
    selection = arguments[arguments.index("-k") + 1] if "-k" in arguments else ""
    for name in selection.split(" or ") if selection else []:
        assert name in tests, (name, files)


def test_the_map_has_a_row_for_every_prompt() -> None:
    rows = re.findall(r"^\| \[([a-z0-9-]+)\]", (ROOT / "docs" / "map.md").read_text(), re.M)
    assert rows == DECISIONS


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_a_prompt_lets_orient_first_and_says_when_it_is_done_what_to_watch_for_and_which_gate_to_run(
    path: Path,
) -> None:
    text = path.read_text()
    assert re.match(r"---\ndescription: .+\n---\n", text)
    parts = [text.index(part) for part in ("**Orient first.**", "**Done when**", "**Watch for**")]
    assert parts == sorted(parts)
    assert f"python -m gates {path.stem}" in text


def test_both_coding_agents_have_every_prompt_and_every_server() -> None:
    opencode = json.loads((ROOT / "opencode.json").read_text())
    claude = json.loads((ROOT / ".mcp.json").read_text())
    assert [path.stem for path in COMMANDS] == sorted(DECISIONS)
    assert opencode["command"].keys() == set(DECISIONS)
    for name, command in opencode["command"].items():
        assert command["template"] == "{file:./.claude/commands/" + f"{name}.md}}"
        prompt = (ROOT / ".claude" / "commands" / f"{name}.md").read_text()
        assert prompt.startswith(f"---\ndescription: {command['description']}\n---\n")
    assert claude["mcpServers"].keys() == opencode["mcp"].keys() == {"inngest-dev", "neon", "context7"}
    urls = {name: server["url"] for name, server in claude["mcpServers"].items()}
    assert urls == {name: server["url"] for name, server in opencode["mcp"].items()}
    assert urls["inngest-dev"] == "http://127.0.0.1:8288/mcp"


def test_the_conformance_table_has_a_row_for_every_case() -> None:
    case = re.compile(
        r'@(?:pytest\.mark\.conformance|case)\(\s*"[^"]+",\s*"([^"]+)"\s*\)\n(?:[@\s)\]].*\n)*async def (\w+)'
    )
    marked = {
        (behaviour, f"{path.relative_to(ROOT)}::{test}")
        for path in (ROOT / "tests").rglob("test_*.py")
        for behaviour, test in case.findall(path.read_text())
    }
    page = (ROOT / "offline" / "inngest_server" / "conformance.md").read_text()
    rows = re.findall(r"^\| (.+?) \| [^|]+ \| [^|]+ \| `(.+)` \|$", page, re.M)
    assert marked == set(rows), "make conformance writes the table anew"
