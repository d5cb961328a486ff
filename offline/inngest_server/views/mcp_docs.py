"""The pages that the documentation tools of the MCP endpoint read: the project's own, and those about the stand-in.

The official server carries Inngest's pages. This one has those of the folder in which it was started.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from offline.inngest_server.api_v2.answers import Object
from offline.inngest_server.core.state import OFFICIAL_COMMAND

PROJECT = ("*.md", "docs/**/*.md", "concepts/**/*.md", ".claude/skills/**/*.md")
"""Where a project has its pages, seen from its folder."""

OWN = Path(__file__).parents[1]
MAX_MATCHES = 10
MAX_TEXT = 2_000
"""Characters of a page in the text of an answer, as on the official server. The structured part has all of it."""

ELSEWHERE = (
    "These are this project's pages and the stand-in's. Inngest's own are at https://www.inngest.com/docs and in the "
    f"official dev server ({OFFICIAL_COMMAND}).\n"
)

Answer = tuple[str, Object]
"""An answer's text and its structured part, both with the official server's words and fields."""


def pages() -> dict[str, Path]:
    """Every page, by the path under which it is found and read."""
    folder = Path.cwd()
    found = [path for pattern in PROJECT for path in sorted(folder.glob(pattern))]
    named = {path.relative_to(folder).as_posix(): path for path in found}
    return named | {f"inngest_server/{path.name}": path for path in sorted(OWN.glob("*.md"))}


def search(pattern: str, limit: int) -> Answer:
    """Find lines in which a regular expression matches, in any case of letters. Raises re.error."""
    wanted = re.compile(pattern, re.I)
    matches: list[Object] = [
        {"file": name, "line": number, "content": line.strip()}
        for name, path in pages().items()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if wanted.search(line)
    ][:limit]
    text = f"Found {len(matches)} matches for pattern '{pattern}':\n\n"
    text += "".join(f"{match['file']}:{match['line']}: {match['content']}\n" for match in matches)
    if len(matches) == limit:
        text += f"\n(Limited to {limit} results)\n"
    return text + ("" if matches else ELSEWHERE), {"matches": matches, "count": len(matches)}


def read(name: str) -> Answer:
    """Read one page. Raises KeyError for a path that `pages` does not name."""
    content = pages()[name].read_text()
    size = len(content.encode())
    shown = (
        content if len(content) <= MAX_TEXT else f"{content[:MAX_TEXT]}\n\n[Content truncated - use the full content]"
    )
    return f"File: {name}\nSize: {size} bytes\n\n{shown}", {"path": name, "size": size, "content": content}


def overview(now: str) -> Answer:
    """Say how many pages there are, and where."""
    count = len(pages())
    categories = Counter(name.partition("/")[0] for name in pages())
    text = f"Documentation Overview (Generated: {now})\n\nTotal Documents: {count}\n\nCategories:\n"
    text += "".join(f"  {name}: {number} docs\n" for name, number in categories.items())
    structured: Object = {
        "generatedAt": now,
        "totalDocs": count,
        "totalChunks": 2 * count,
        "categories": dict(categories),
        "sdks": {"python": count},
    }
    return f"{text}\n{ELSEWHERE}", structured
