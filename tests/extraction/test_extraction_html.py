"""HTML in an output: formatting tags are no letters, comparisons are no tags."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from components.extraction import extract, without_tags

DRUGS = {"A": "Aspirin", "B": "Metoprolol", "C": "Aspirin and clopidogrel", "D": "Vitamin C"}
MANY = {chr(65 + k): f"Gene product number {k + 1}" for k in range(26)}
SIGNS = {"A": "p < a", "B": "b<c and d>e", "C": "H<sub>2</sub>O", "D": "left<br>right"}

CASES = [
    ("The answer is <b>C</b>.", DRUGS, "C"),
    ("Answer: <b>D</b>", DRUGS, "D"),
    ("Answer: <B>D</B>", DRUGS, "D"),
    ("<b>C. Aspirin and clopidogrel</b>", DRUGS, "C"),
    ("<a>C</a>", DRUGS, "C"),
    ("<i>C</i>", MANY, "C"),
    ("<p>M</p><u>Q</u>", MANY, "Q"),
    ("<strong>C</strong>", DRUGS, "C"),
    ("The answer is <a href='x.html' class=\"b\">C</a>.", DRUGS, "C"),
    ("The answer is <span style=\u201ccolor:red\u201d>D</span>", DRUGS, "D"),
    ("The answer is &lt;b&gt;C&lt;/b&gt;.", DRUGS, "C"),
    ("It slows the heart.<br>B", DRUGS, "B"),
    ("It slows the heart.<br clear=all />B. Metoprolol", DRUGS, "B"),
    ("<p>It slows the heart.</p><p>B</p>", DRUGS, "B"),
    ("<h2>Answer</h2><div\n class='x'>D</div>", DRUGS, "D"),
    ("Answer:<br/>C", DRUGS, "C"),
    ("The answer is <code>B</code> <small>(Metoprolol)</small>.", DRUGS, "B"),
    ("<ul><li>A. Aspirin</li><li>B. Metoprolol</li><li>C. Aspirin and clopidogrel</li></ul>", DRUGS, None),
    ("<ol>\n<li>A is wrong</li>\n</ol>\n<b>The correct answer is <em>D</em></b>", DRUGS, "D"),
    ("\\boxed{<b>C</b>}", DRUGS, "C"),
    ("<answer><b>B</b></answer>", DRUGS, "B"),
    ("<b>A</b> and <b>B</b>", DRUGS, None),
    ("<think>The answer is <b>A</b>.</think><p>The answer is <b>D</b>.</p>", DRUGS, "D"),
    ("<p><think>The answer is A.</p>", DRUGS, None),
    ("The answer is p < a.", SIGNS, "A"),
    ("The answer is b<c and d>e.", SIGNS, "B"),
    ("The answer is H2O.", SIGNS, "C"),
    ("The answer is H<sub>2</sub>O.", SIGNS, "C"),
    ("left<br/>right", SIGNS, "D"),
    ("Since x <b and c> d, the answer is B", DRUGS, "B"),
    ("The answer is <B>.", DRUGS, "B"),
    ("Answer: <A>", DRUGS, "A"),
    ("<answer><B></answer>", DRUGS, "B"),
    ("Answer: <C>", DRUGS, "C"),
    ("The answer is <b>C", DRUGS, "C"),
    ("The answer is <b>(D", DRUGS, "D"),
    ("The answer is <b><i>C", DRUGS, "C"),
    ("The answer is <b", DRUGS, None),
]


@pytest.mark.parametrize(("output", "options", "letter"), CASES, ids=[repr(case[0]) for case in CASES])
def test_case(output: str, options: dict[str, str], letter: str | None) -> None:
    assert extract(output, options) == letter


_WORDS = [
    "the answer is",
    "Answer:",
    "\\boxed{",
    "}",
    "is correct",
    "not",
    "or",
    "if",
    "A",
    "J",
    "?",
    "(",
    ".",
    "\n",
    "*",
]
_INLINE = ["b", "i", "u", "em", "strong", "span", "a", "code", "sub", "sup", "mark", "small"]
_BLOCK = ["p", "div", "li", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6"]
_ATTRIBUTES = ["", " class=a", ' style="color: b; c"', " id='A' title=b", ' \n href = "x" ']


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=60) | st.lists(st.sampled_from(_WORDS), max_size=25).map(" ".join),
    st.sampled_from("ABCDEFGHIJ"),
    st.sampled_from(_INLINE + _BLOCK).flatmap(lambda name: st.sampled_from([name, name.upper()])),
    st.sampled_from(_ATTRIBUTES),
)
def test_tags_around_an_answer_are_not_read(before: str, letter: str, name: str, attributes: str) -> None:
    assume("<" not in before and "&lt;" not in before)  # where a tag before would close with this one
    options = {chr(65 + k): f"Gene product {k}" for k in range(10)}
    for said in (f"The answer is {letter}.", letter, f"{letter}. {options[letter]}"):
        expected = extract(f"{before}\n{said}", options)
        assert extract(f"{before}\n<{name}{attributes}>{said}</{name}>", options) == expected
        assert extract(f"<{name}{attributes}>{said}<br/></{name} >", options) == letter


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="abciupx <>=/&\"'\n", max_size=40))
def test_what_is_no_tag_is_kept(text: str) -> None:
    """Only `<name>`, `</name>` and `<name key=value>` go; every other sign of a comparison stays."""
    left = without_tags(text)
    if not re.search(r"</?[abiup](?:\s[^<>]*=[^<>]*)?\s*/?>", text):
        assert left == text
    assert len(left) <= len(text) and left.count("<") >= text.count("<") - text.count(">")
