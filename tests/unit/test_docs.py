"""The documents lead to files that exist, and what coding agents are given is whole. Runs without anything."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = sorted((ROOT / ".claude" / "commands").glob("*.md"))
DECISIONS = ["quick-win", "d0", "d1", "d2", "d3", "d4", "d5", "d6"]


@pytest.mark.parametrize("name", ["README.md", "docs/map.md", "docs/diagnose.md", "docs/swap.md"])
def test_every_link_leads_to_a_file(name: str) -> None:
    document = ROOT / name
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())
    assert links
    assert [link for link in links if not (document.parent / link).exists()] == []


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
