"""The text of an HTML email: what its reader sees and nothing else, whatever the sender made of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from tests.adversary.profile import PROFILE
from web.webhooks.html_text import MAX_CHARS, MAX_TAGS, tamed, text_of

NEWSLETTER = """<!DOCTYPE html>
<html><head><title>Title</title><style>p { color: red }</style><meta charset="utf-8"></head>
<body bgcolor="#fff">
  <div style="display:none; max-height:0">preheader</div>
  <!-- <p>comment</p> --><![if mso]>conditional<![endif]>
  <h1>Hello&nbsp;<b>Ada</b> &amp; all,</h1>
  <p>my order
     <a href="https://shop.example/A-1001">A-1001</a> is <i>late</i>.<br>Please<br/>refund&#33;</p>
  <table><tr><td>A-1001</td><td>49.00</td></tr><tr><th>Total</th><td>49.00</td></tr></table>
  <ul><li>one<li>two</ul>
  <blockquote>On Monday you wrote: <div>quoted</div></blockquote>
  <script>alert("script")</script><template>template</template><svg><text>svg</text></svg>
  <img src="x.png" alt="alt"><input value="value"><p></p><p> </p>
  -- <br>Ada
</body></html>"""


def test_block_elements_stand_on_lines_of_their_own_and_the_rest_flows() -> None:
    assert text_of(NEWSLETTER) == (
        "conditional\nHello Ada & all,\nmy order A-1001 is late.\nPlease\nrefund!\nA-1001 49.00\nTotal 49.00\n"
        "one\ntwo\nOn Monday you wrote:\nquoted\n--\nAda",
        True,
    )


@pytest.mark.parametrize(
    "hidden",
    [
        "<p hidden>X</p>",
        "<p HIDDEN=''>X</p>",
        "<span style='display : none'>X</span>",
        "<p STYLE='Display:None'>X</p>",
        "<p style='color:red;visibility:hidden'>X</p>",
        "<p style='mso-hide:all'>X</p>",
        "<p style='font-size:0'>X</p>",
        "<p style='font-size:0px;'>X</p>",
        "<p style='opacity:0.0'>X</p>",
        "<p style='max-height:0px!important'>X</p>",
        "<div style='display:none'><p><b>X</b></p></div>",
        "<script>X</script>",
        "<style>X</style>",
        "<!-- X -->",
        "<title>X</title>",
        "<template><p>X</p></template>",
        "<iframe>X</iframe>",
        "<svg><text>X</text></svg>",
        "<select><option>X</select>",
        "<datalist><option>X</datalist>",
        "<object><p>X</p></object>",
        "<!--X-->",
        "<a title='X' href='X'></a>",
        "<img alt=X>",
        "<p data-x=X></p>",
        "<noframes>X</noframes>",
    ],
)
def test_what_the_reader_cannot_see_the_agent_does_not_read(hidden: str) -> None:
    assert text_of(f"<p>before</p>{hidden}<p>after</p>") == ("before\nafter", True)


@pytest.mark.parametrize(
    "style", ["font-size:10px", "opacity:0.5", "max-height:0.5em", "font-size:0.8em", "display:block"]
)
def test_what_is_small_or_faint_is_seen(style: str) -> None:
    assert text_of(f"<p style='{style}'>seen</p>")[0] == "seen"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("a < b > c", "a < b > c"),
        ("<p>unclosed", "unclosed"),
        ("</p>x", "x"),
        ("a&lt;b&gt;c&nosuch;", "a<b>c&nosuch;"),
        ("<p>x</p" * 3, "xxx"),
        ("&#0;&#xd800;", "\ufffd\ufffd"),
        ("<body><body><p>two", "two"),
        ("<frameset><p>x", ""),
        ("<p>\u202f\u3000x\u00a0 y</p>", "x y"),
    ],
)
def test_html_that_is_broken_is_read_as_a_browser_would(html: str, text: str) -> None:
    assert text_of(html)[0] == text


def elements(html: str) -> int:
    return len(LexborHTMLParser(tamed(html)).css("*"))


@pytest.mark.parametrize("tag", ["b", "A", "font", "code", "nobr"])
def test_formatting_that_is_left_open_is_not_multiplied(tag: str) -> None:
    """Untamed, 300 such elements and 300 paragraphs are 90,000 elements."""
    bomb = "<p>" + "".join(f"<{tag} x={number}>" for number in range(300)) + "</p><p>x" * 300
    assert elements(bomb) < 700
    assert text_of(bomb)[0].split("\n") == ["x"] * 300


def test_no_more_tags_and_characters_are_read_than_the_parser_does_quickly() -> None:
    assert elements("<div>" * 50_000) <= MAX_TAGS + 3
    assert text_of("<p>x" * MAX_TAGS)[1] is True
    assert text_of("<p>x" * MAX_TAGS + "<")[1] is False
    assert text_of("x" * MAX_CHARS)[1] is True
    assert text_of("x" * (MAX_CHARS + 1)) == ("x" * MAX_CHARS, False)


def test_a_tag_with_thousands_of_attributes_loses_them_and_keeps_its_text() -> None:
    html = "<p " + " ".join(f"a{number}" for number in range(5_000)) + ">seen</p>"
    (paragraph,) = LexborHTMLParser(tamed(html)).css("p")
    assert paragraph.attributes == {}
    assert text_of(html)[0] == "seen"


TAGS = ["p", "div", "b", "a", "table", "tr", "td", "li", "ul", "select", "option", "form", "button", "h1", "svg"]
TAGS += ["math", "template", "x", "span", "script", "style", "title", "textarea"]
SOUP = st.lists(
    st.sampled_from([f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS] + ["<!--", "-->", "&", "<", "x", "\0"])
    | st.text(max_size=5),
    max_size=60,
)


@PROFILE
@given(SOUP)
def test_any_soup_of_tags_becomes_lines_of_text(soup: list[str]) -> None:
    text, whole = text_of("".join(soup))
    assert whole
    assert all(line and line == " ".join(line.split()) for line in text.split("\n")) or text == ""
    text.encode()
