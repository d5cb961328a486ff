"""The text of an HTML email as its reader sees it, in a time that the sender cannot stretch.

An HTML parser repairs every mistake, and the work for some repairs grows with the square of the document: 35 kB of
well-chosen tags made a tree of 1.4 GB, and 500 kB took 12 seconds (measured with selectolax 1.0.2). So `tamed` bounds
the document and takes such tags out before it is parsed.
"""

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

MAX_TAGS = 10_000
MAX_CHARS = 2_000_000
MAX_TAG_CHARS = 2_000
# Those that are left open, the parser opens again in every paragraph that follows.
FORMATTING = re.compile(r"(</?)(?:a|b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)(?=[\s/>])", re.IGNORECASE)
# A tag with very many attributes: the parser compares each attribute with all before it.
LONG_TAG = re.compile(rf"(<[a-z][a-z0-9]{{0,20}})\b[^<>]{{{MAX_TAG_CHARS},}}", re.IGNORECASE)
UNSEEN_TAGS = re.compile("head|title|script|style|template|iframe|object|svg|math|select|datalist|noframes|noembed")
UNSEEN_STYLE = re.compile(
    r"display:none|visibility:hidden|mso-hide:all|(?:font-size|opacity|max-height):0(?:\.0*)?(?:px|pt|em|rem|%)?(?:[;!]|$)"
)
# Elements that stand within a line. Formatting tags are not among them, because `tamed` makes them spans.
INLINE_TAGS = re.compile(
    "abbr|acronym|bdi|bdo|button|cite|data|del|dfn|img|input|ins|kbd|label|mark|q|samp|span|sub|sup|time|var|wbr"
)


def text_of(html: str) -> tuple[str, bool]:
    """The visible text, with block elements on lines of their own, and whether the whole document was read.

    Scripts, styles, comments and what is hidden are left out. Of a document with more than 10,000 tags or 2 million
    characters only the beginning is read.
    """
    root = LexborHTMLParser(tamed(html)).root
    parts: list[str] = []
    # A list instead of a recursion, because a stranger decides how deep the document is.
    waiting: list[LexborNode | str] = [root] if root else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            parts.append(node)
        elif node.tag == "-text":
            parts.append(re.sub(r"\s+", " ", node.text_content or ""))
        # What is left are elements, and comments, whose tag begins with "-".
        elif node.tag and node.tag[0] != "-" and not _is_unseen(node):
            edge = _edge(node.tag)
            parts.append(edge)
            waiting += [edge, *reversed(list(node.iter(include_text=True)))]
    lines = (" ".join(line.split()) for line in "".join(parts).split("\n"))
    return "\n".join(line for line in lines if line), len(html) <= MAX_CHARS and html.count("<") <= MAX_TAGS


def tamed(html: str) -> str:
    """The beginning of a document, without the tags that make the parser's work grow faster than the document."""
    kept = "<".join(html[:MAX_CHARS].split("<", MAX_TAGS + 1)[: MAX_TAGS + 1])
    return LONG_TAG.sub(r"\1", FORMATTING.sub(r"\1span", kept))


def _edge(tag: str) -> str:
    """What separates an element's text from the text around it."""
    if INLINE_TAGS.fullmatch(tag):
        return ""
    return " " if tag in {"td", "th"} else "\n"


def _is_unseen(node: LexborNode) -> bool:
    attributes = node.attributes
    style = "".join((attributes.get("style") or "").lower().split())
    hidden = "hidden" in attributes or UNSEEN_STYLE.search(style) is not None
    return hidden or UNSEEN_TAGS.fullmatch(node.tag or "") is not None
