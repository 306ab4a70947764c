"""The decoding loop against the plainest one: read everything again for every token, one answer at a time."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from components.engines.base import Generation, Request, Sampling
from components.engines.cpu_attention import grouped_attention
from components.engines.rendering import encode
from components.engines.transformers_engine import TransformersEngine, choose

NEW_TOKENS = 12
OPENINGS = (
    "",
    "Hmm, perhaps it is B (scurvy).",
    "I think C.",
    "Not sure, but D seems what the question wants.",
)
QUESTIONS = ("Why?", "Which vitamin prevents scurvy? " * 6, "A man of 60 has gout. What is high in his blood?", "Who?")


def requests() -> list[Request]:
    """Questions of different length, each in four settings: what an evaluation asks."""
    return [Request(f"{q[:5]}/{k}", (("user", q),), o, seed=k) for q in QUESTIONS for k, o in enumerate(OPENINGS)]


@pytest.fixture(scope="module")
def engine(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> TransformersEngine:
    """A random model with weights far apart: with those of the shared tiny one it repeats a single token for ever."""
    folder = tmp_path_factory.mktemp("lively") / "model"
    shutil.copytree(tiny_model, folder)
    config = AutoConfig.from_pretrained(tiny_model, tie_word_embeddings=False, initializer_range=0.5)
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    return TransformersEngine(folder, "float32")


@pytest.fixture(scope="module")
def naive(engine: TransformersEngine) -> list[list[int]]:
    """The likeliest NEW_TOKENS tokens after each prompt, without cache, batch or padding."""
    outputs = []
    for request in requests():
        ids = encode(engine.tokenizer, request, 8192, NEW_TOKENS)
        start = len(ids)
        for _ in range(NEW_TOKENS):
            with torch.inference_mode():
                logits = engine.model(input_ids=torch.tensor([ids]), use_cache=False).logits
            ids = [*ids, int(logits[0, -1].argmax())]
        outputs.append(ids[start:])
    return outputs


@pytest.fixture
def stopping(engine: TransformersEngine, naive: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> frozenset[int]:
    """End tokens that the random model does write, so that answers end at different steps."""
    later = Counter(token for output in naive for token in output[2:])
    stop = frozenset(token for token, _ in later.most_common()[::3])
    monkeypatch.setattr(engine, "stop", stop)
    return stop


def ask(engine: TransformersEngine, asked: list[Request], sampling: Sampling, batch_size: int) -> list[Generation]:
    engine.batch_size = batch_size
    pairs = list(engine.generate(asked, sampling))
    assert sorted(index for index, _ in pairs) == list(range(len(asked)))
    return [answer for _, answer in sorted(pairs)]


@pytest.mark.parametrize("batch_size", [1, 6, 64])
def test_greedy_answers_are_those_of_the_plainest_loop(
    engine: TransformersEngine, naive: list[list[int]], stopping: frozenset[int], batch_size: int
) -> None:
    answers = ask(engine, requests(), Sampling(NEW_TOKENS), batch_size)
    lengths = set()
    for output, answer in zip(naive, answers, strict=True):
        ends = [i for i, token in enumerate(output) if token in stopping]
        words = output[: ends[0]] if ends else output
        assert answer.text == engine.tokenizer.decode(words, skip_special_tokens=True)
        assert answer.finish_reason == ("stop" if ends else "length")
        assert answer.output_tokens == len(words) + bool(ends)
        lengths.add(answer.output_tokens)
    assert len(lengths) > 2, "the end tokens chosen here must end answers at different steps"


def test_single_requests_and_repeats_work(engine: TransformersEngine, naive: list[list[int]]) -> None:
    first = requests()[0]
    answers = ask(engine, [first, first, first], Sampling(NEW_TOKENS), 64)
    expected = engine.tokenizer.decode(naive[0], skip_special_tokens=True)
    assert [answer.text for answer in answers] == [expected] * 3


def test_shared_beginnings_are_read_once(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    plain = engine._read

    def counting(pieces: list[list[int]], *rest: Any) -> Any:
        read.append(sum(map(len, pieces)))
        return plain(pieces, *rest)

    monkeypatch.setattr(engine, "_read", counting)
    asked = requests()
    answers = ask(engine, asked, Sampling(1), 64)
    alone = sum(answer.prompt_tokens for answer in answers)
    ids = [encode(engine.tokenizer, request, 8192, 1) for request in asked]
    questions = sum(min(len(prompt) for prompt in ids[i : i + 4]) for i in range(0, len(ids), 4))
    openings = sum(len(prompt) for prompt in ids) - 4 * questions
    # The template's head is shared by all as well, so less than each question once and each opening once.
    assert sum(read) < questions + openings + len(ids) < 0.5 * alone


def test_sampled_answers_depend_on_their_seed_alone(engine: TransformersEngine) -> None:
    sampling = Sampling(NEW_TOKENS, temperature=1.5, top_p=0.95)
    together = ask(engine, requests(), sampling, 64)
    assert [answer.text for answer in ask(engine, requests(), sampling, 3)] == [answer.text for answer in together]
    assert ask(engine, requests()[5:6], sampling, 64)[0].text == together[5].text
    first = requests()[0]
    other = Request(first.id, first.messages, first.opening, seed=99)
    assert ask(engine, [other], sampling, 64)[0].text != together[0].text


@given(st.lists(st.floats(-8, 8), min_size=2, max_size=30), st.floats(0.05, 1), st.integers(0, 2**31))
def test_choose_stays_inside_the_nucleus(logits: list[float], top_p: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    chosen = choose(torch.tensor([logits]), [generator], Sampling(1, temperature=1.0, top_p=top_p))[0]
    probabilities = torch.softmax(torch.tensor(logits), dim=0)
    likelier = float(probabilities[probabilities > probabilities[chosen]].sum())
    assert likelier < top_p + 1e-5


def test_grouped_attention_is_attention() -> None:
    torch.manual_seed(0)
    query, keys = torch.randn(3, 6, 1, 8), torch.randn(3, 2, 11, 8)
    values = torch.randn(3, 2, 11, 8)
    mask = torch.ones(3, 1, 1, 11, dtype=torch.bool)
    mask[1, ..., :4] = False
    out, _ = grouped_attention(torch.nn.Module(), query, keys, values, mask, scaling=0.3)
    repeated = [tensor.repeat_interleave(3, dim=1) for tensor in (keys, values)]
    scores = (query @ repeated[0].transpose(-1, -2) * 0.3).masked_fill(~mask, -torch.inf)
    expected = (scores.softmax(dim=-1) @ repeated[1]).transpose(1, 2)
    torch.testing.assert_close(out, expected)
