"""The page's Markdown: what cards use becomes elements, and what a bundle holds stays text."""

from __future__ import annotations

import random
import unicodedata

import pytest

from cds_service.markdown import escape, plain, table
from tests.cds_service.workbench.browser import Page

pytestmark = pytest.mark.browser
RENDER = "return a[0].map((text) => { const box = document.createElement('div'); box.append(...m.markdown(text)); return box.innerHTML; })"
TEXTS = "return a[0].map((text) => { const box = document.createElement('div'); box.append(...m.markdown(text)); return [box.textContent, [...new Set([...box.querySelectorAll('*')].map((e) => e.localName))].sort().join()]; })"
REL = 'target="_blank" rel="noopener noreferrer"'
ALLOWED = {"p", "strong", "em", "del", "code", "pre", "br", "hr", "ul", "ol", "li", "blockquote", "a", "span"}
ALLOWED |= {"table", "thead", "tbody", "tr", "th", "td"}
ALLOWED |= {"@href", "@target", "@rel", "@role", "@scope", "@data-label", "@class"}
CASES = [
    ("plain", "<p>plain</p>"),
    ("two\nlines", "<p>two lines</p>"),
    ("hard  \nbreak", "<p>hard<br>break</p>"),
    ("one\n\ntwo", "<p>one</p><p>two</p>"),
    ("**bold** and _italic_ and *italic*", "<p><strong>bold</strong> and <em>italic</em> and <em>italic</em></p>"),
    ("**bold _inside_**", "<p><strong>bold <em>inside</em></strong></p>"),
    ("snake_case_name", "<p>snake_case_name</p>"),
    ("2 * 3 * 4", "<p>2 * 3 * 4</p>"),
    ("~~gone~~", "<p><del>gone</del></p>"),
    (r"3.5\-5.1 \*no\* \_no\_ \[no\]\(no\)", "<p>3.5-5.1 *no* _no_ [no](no)</p>"),
    ("`a * b`", "<p><code>a * b</code></p>"),
    ("# Title", '<p class="md-heading">Title</p>'),
    ("- one\n- two", "<ul><li>one</li><li>two</li></ul>"),
    ("1. one\n2. two", "<ol><li>one</li><li>two</li></ol>"),
    ("> said", "<blockquote><p>said</p></blockquote>"),
    ("---", "<hr>"),
    ("```\n<b>\n```", "<pre><code>&lt;b&gt;</code></pre>"),
    ("a &amp; b &lt; c &#64; d", "<p>a &amp; b &lt; c @ d</p>"),
    ("&unknown; &#0; &#xD800;", "<p>&amp;unknown; \ufffd \ufffd</p>"),
    ("[KDIGO](https://kdigo.org/a)", f'<p><a href="https://kdigo.org/a" {REL}>KDIGO</a></p>'),
    ("[no](javascript:alert(1))", "<p>[no](javascript:alert(1))</p>"),
    ("[no](javascript:alert)", "<p><span>no</span></p>"),
    ("[no](data:text/html,x)", "<p><span>no</span></p>"),
    ("[no](//evil.example)", "<p><span>no</span></p>"),
    ("[no](/workbench/explain)", "<p><span>no</span></p>"),
    ("![no](https://evil.example/x.png)", f'<p>!<a href="https://evil.example/x.png" {REL}>no</a></p>'),
    ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
    ('<img src=x onerror="alert(1)">', '<p>&lt;img src=x onerror="alert(1)"&gt;</p>'),
    ("https://evil.example", "<p>https://evil.example</p>"),
    ("**never closed", "<p>**never closed</p>"),
    ("[never](closed", "<p>[never](closed</p>"),
]


@pytest.fixture(scope="module")
def page(browser: Page) -> Page:
    browser.fresh()
    return browser


def test_what_each_becomes(page: Page) -> None:
    made = page.module("markdown.js", RENDER, [text for text, _ in CASES])
    assert list(zip([text for text, _ in CASES], made, strict=True)) == CASES


def test_a_table_says_what_it_is_on_a_phone_too(page: Page) -> None:
    text = table(("Result", "Value"), [(escape("a|b"), "**1**"), ("", "2")])
    (made,) = page.module("markdown.js", RENDER, [text])
    assert made == (
        '<table role="table"><thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Result</th>'
        '<th role="columnheader" scope="col">Value</th></tr></thead><tbody role="rowgroup"><tr role="row">'
        '<td role="cell" data-label="Result">a|b</td><td role="cell" data-label="Value"><strong>1</strong></td></tr>'
        '<tr role="row"><td role="cell" data-label="Result" class="blank"></td><td role="cell" data-label="Value">2</td></tr>'
        "</tbody></table>"
    )


def test_escaped_text_comes_back_as_it_was(page: Page) -> None:
    """Whatever stands in a bundle: escaped by the service and drawn by the page it is the same line, and no element."""
    seed = 20261124
    chance = random.Random(seed)
    pieces = [
        "<",
        ">",
        "&",
        "&lt;",
        "&#64;",
        "*",
        "**",
        "_",
        "__",
        "`",
        "```",
        "[",
        "](",
        ")",
        "!",
        "|",
        "\\",
        "~~",
        "#",
        "- ",
        "1. ",
    ]
    pieces += [
        "javascript:",
        "https://x.example",
        "data:",
        "www.",
        "a",
        "b",
        " ",
        "\n",
        "\t",
        "$",
        "{",
        "}",
        "@",
        "é",
        "µ",
        "漢",
        "\u202e",
        "\u200b",
    ]
    texts = ["".join(chance.choice(pieces) for _ in range(chance.randint(1, 24))) for _ in range(3000)]
    texts = [text for text in texts if plain(text)]
    drawn = page.module("markdown.js", TEXTS, [escape(text, 400) for text in texts])
    for text, (shown, elements) in zip(texts, drawn, strict=True):
        assert (shown.replace("\u200b", ""), elements) == (plain(text, 400), "p"), f"seed {seed}: {text!r}"


def test_no_text_makes_an_element_that_is_not_markdown(page: Page) -> None:
    """Unescaped and at random, as a model's note might be: only these elements, and no attribute that runs anything."""
    seed = 7
    chance = random.Random(seed)
    pieces = [
        "<",
        ">",
        "script",
        "img",
        " onerror=",
        "x",
        "*",
        "_",
        "`",
        "[",
        "]",
        "(",
        ")",
        "|",
        "\n",
        "- ",
        "> ",
        "#",
        "\\",
        "&",
        ";",
        "javascript:",
        "https://x",
        " ",
    ]
    texts = ["".join(chance.choice(pieces) for _ in range(chance.randint(1, 60))) for _ in range(2000)]
    attributes = "return a[0].map((text) => { const box = document.createElement('div'); box.append(...m.markdown(text)); return [...box.querySelectorAll('*')].flatMap((e) => [e.localName, ...e.getAttributeNames().map((n) => '@' + n)]); })"
    for text, names in zip(texts, page.module("markdown.js", attributes, texts), strict=True):
        bad = set(names) - ALLOWED
        assert not bad, f"seed {seed}: {text!r}"


def test_long_and_deep_text_ends(page: Page) -> None:
    deep = [
        "> " * 200 + "x",
        "[" * 5000,
        "*" * 5000,
        "**a " * 2000,
        "_a " * 2000,
        "`" * 4000,
        "|" * 3000 + "\n" + "|-" * 3000,
        "\\" * 9999,
    ]
    assert len(page.module("markdown.js", RENDER, deep)) == len(deep)


def test_text_from_a_bundle_is_one_visible_line(page: Page) -> None:
    odd = ["a\u202eb\u2066c\u200bd", "a\nb\tc", "x" * 500, "\ud83d\ude00" * 300, "\u0000\u001b[31m", None]
    shown = page.module("dom.js", "return a[0].map((text) => m.clean(text, 100))", odd)
    assert shown[:2] == ["abcd", "a b c"]
    assert shown[2] == "x" * 99 + "…"
    assert shown[3] == "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16") * 99 + "…"
    assert shown[4:] == ["[31m", ""]
    exact = page.module("dom.js", "return m.exact(a[0])", "a\u202eb\nc\u200b")
    assert exact == "a\\u202eb\nc\\u200b"
    assert not any(unicodedata.category(character) == "Cf" for character in exact)
