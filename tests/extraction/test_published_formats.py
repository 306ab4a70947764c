"""The published models' ways to answer: their thoughts do not count, their answers do, unfinished ones are none."""

from __future__ import annotations

import pytest

from components.extraction import extract

OPTIONS = {"A": "Adenosine", "B": "Metoprolol", "C": "Observation", "D": "Synchronised cardioversion"}
THOUGHT = (
    "Okay, a fast regular rhythm and a normal pressure. The answer is A, I first thought.\n\n"
    "Hmm, but her asthma speaks against adenosine. So the answer must be C? No, she is symptomatic."
)
HUATUO = "## Thinking\n\n{thought}\n\n## Final Response\n\n{answer}"
MEDREASON = (
    "## Thinking\n\n### Finding Reasoning Paths:\n1. asthma -> bronchospasm -> Adenosine\n\n"
    "### Reasoning Process:\n1. {thought}\n\n### Conclusion:\nThe answer is A.\n\n## Final Answer\n\n{answer}"
)
# Its marks are <|im_start|>think and <|im_start|>answer; engines leave special tokens out of the text.
M1 = "think\n{thought}\nanswer\n{answer}"
M1_RAW = "<|im_start|>think\n{thought}\n<|im_start|>answer\n{answer}"
QWEN3 = "<think>\n{thought}\n</think>\n\n{answer}"
# The template of DeepSeek-R1 and QwQ has opened the thought already.
TEMPLATE_OPENED = "{thought}\n</think>\n\n{answer}"
# A wrong opening stood before the output, so that its first mark is missing.
AFTER_OPENING = " though I am not sure. {thought}\n\n## Final Response\n\n{answer}"
FORMATS = {
    "HuatuoGPT-o1": HUATUO,
    "MedReason": MEDREASON,
    "m1": M1,
    "m1 with special tokens": M1_RAW,
    "Qwen3": QWEN3,
    "DeepSeek-R1": TEMPLATE_OPENED,
    "HuatuoGPT-o1 after an opening": AFTER_OPENING,
}
ANSWERS = (
    ("With her asthma, a beta blocker is risky too, yet it is the best of these.\n\nThe answer is B.", "B"),
    ("**Adenosine** can cause bronchospasm. Therefore the right choice is **D. Synchronised cardioversion**.", "D"),
    ("Explanation: nothing needs to be done at once, so I would suggest observation.", "C"),
    ("The final answer is $\\boxed{\\text{B}}$.", "B"),
    ("\\boxed{C. Observation}", "C"),
    ("B", "B"),
    ("I cannot say.", None),
    ("", None),
)


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize(("answer", "letter"), ANSWERS, ids=[a[0][:24] for a in ANSWERS])
def test_only_what_follows_the_thought_counts(style: str, answer: str, letter: str | None) -> None:
    assert extract(FORMATS[style].format(thought=THOUGHT, answer=answer), OPTIONS) == letter


@pytest.mark.parametrize("style", ["HuatuoGPT-o1", "MedReason", "m1", "m1 with special tokens", "Qwen3"])
def test_a_thought_that_was_cut_off_holds_no_answer(style: str) -> None:
    whole = FORMATS[style].format(thought=THOUGHT, answer="The answer is B.")
    cut = whole[: whole.rindex("speaks against")]
    assert "The answer is A" in cut
    assert extract(cut, OPTIONS) is None


def test_a_thought_after_an_opening_counts_from_its_mark() -> None:
    output = " is my guess.\n\n## Thinking\n\nThe answer is A.\n\n## Final Response\n\nThe answer is D."
    assert extract(output, OPTIONS) == "D"
    assert extract("The answer is C.\nthink\nThe answer is A.", OPTIONS) is None


@pytest.mark.parametrize(
    ("output", "letter"),
    [
        ("## Analysis\n\nAdenosine is out.\n\n## Answer\n\nB", "B"),
        ("## Thinking\n\nAdenosine is out.\n\n## Answer: B", "B"),
        ("# Thinking\n\nThe answer is A.\n\n# Conclusion\n\nThe answer is B.", "B"),
        ("I think that\nthe answer is B.", "B"),
        ("Think of her asthma.\nAnswer\nB", "B"),
        ("The answer is B.\n\n## Why\n\nI think that her asthma decides.", "B"),
        ("## Thinking about it\n\nThe answer is B.", "B"),
        ("<think>\n## Final Response\nThe answer is A.</think> The answer is B.", "B"),
        ("<think>\n## Final Response\nThe answer is A.", None),
    ],
)
def test_other_headings_and_words_are_no_marks(output: str, letter: str | None) -> None:
    assert extract(output, OPTIONS) == letter
