"""The text of an HTML email, as its reader sees it, in a time that the sender cannot stretch.

A browser's parser repairs every mistake, and some repairs cost the square of what was sent: 35 kB of well-chosen tags
made a tree of 1.4 GB, 500 kB took 12 seconds (measured with selectolax 1.0.2). So the tags are counted and tamed first.
"""

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

MAX_TAGS = 10_000
MAX_CHARS = 2_000_000
MAX_TAG_CHARS = 2_000
# Reopened by the parser in each paragraph that follows when they are left open, all of them.
FORMATTING = re.compile(r"(</?)(?:a|b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)(?=[\s/>])", re.IGNORECASE)
# Each attribute is compared with those before it.
LONG_TAG = re.compile(rf"(<[a-z][a-z0-9]{{0,20}})\b[^<>]{{{MAX_TAG_CHARS},}}", re.IGNORECASE)
UNSEEN_TAGS = {
    "head",
    "title",
    "script",
    "style",
    "template",
    "iframe",
    "object",
    "svg",
    "math",
    "select",
    "datalist",
    "noframes",
    "noembed",
}
UNSEEN_STYLE = re.compile(
    r"display:none|visibility:hidden|mso-hide:all|(?:font-size|opacity|max-height):0(?:\.0*)?(?:px|pt|em|rem|%)?(?:[;!]|$)"
)
# Formatting tags are spans by then.
INLINE_TAGS = {
    "abbr",
    "acronym",
    "bdi",
    "bdo",
    "button",
    "cite",
    "data",
    "del",
    "dfn",
    "img",
    "input",
    "ins",
    "kbd",
    "label",
    "mark",
    "q",
    "samp",
    "span",
    "sub",
    "sup",
    "time",
    "var",
    "wbr",
}


def text_of(html: str) -> tuple[str, bool]:
    """The visible text, block elements on lines of their own; scripts, styles, comments and what is hidden left out.

    Of a document beyond 10,000 tags or 2 million characters the beginning is read; the second value says whether that
    was all.
    """
    root = LexborHTMLParser(tamed(html)).root
    parts: list[str] = []
    # Not a recursion: as deep as the document, which a stranger wrote.
    waiting: list[LexborNode | str] = [root] if root else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            parts.append(node)
        elif node.tag == "-text":
            parts.append(re.sub(r"\s+", " ", node.text_content or ""))
        elif node.tag and node.tag[0] != "-" and not _unseen(node):
            edge = "" if node.tag in INLINE_TAGS else " " if node.tag in {"td", "th"} else "\n"
            parts.append(edge)
            waiting += [edge, *reversed(list(node.iter(include_text=True)))]
    lines = (" ".join(line.split()) for line in "".join(parts).split("\n"))
    return "\n".join(line for line in lines if line), len(html) <= MAX_CHARS and html.count("<") <= MAX_TAGS


def tamed(html: str) -> str:
    """The beginning of a document, without what makes the parser's work grow faster than the document."""
    kept = "<".join(html[:MAX_CHARS].split("<", MAX_TAGS + 1)[: MAX_TAGS + 1])
    return LONG_TAG.sub(r"\1", FORMATTING.sub(r"\1span", kept))


def _unseen(node: LexborNode) -> bool:
    attributes = node.attributes
    style = "".join((attributes.get("style") or "").lower().split())
    return node.tag in UNSEEN_TAGS or "hidden" in attributes or bool(UNSEEN_STYLE.search(style))
