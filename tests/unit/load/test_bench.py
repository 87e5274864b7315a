"""`fortyninety bench` of an address, whole, against an engine that counts its tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fortyninety.cli import main
from tests.unit.engine.odd_engine import CHUNKED, STREAM, Answering, OddEngine, chunked
from tests.unit.load.counting_engine import MODEL, CountingEngine, plain


@pytest.fixture
def serve() -> Iterator[Callable[[Answering], str]]:
    engines: list[OddEngine] = []

    def make(answer: Answering) -> str:
        engines.append(OddEngine(answer))
        return f"http://127.0.0.1:{engines[-1].port}"

    yield make
    for engine in engines:
        engine.close()


Serve = Callable[[Answering], str]


def bench(*words: str, **environment: str) -> Result:
    few = ("--prompt-tokens", "30", "--completion-tokens", "10", "--batch", "1,3", "--rounds", "2")
    return CliRunner().invoke(main, ["bench", *few, *words], env=environment)


def test_tokens_are_counted_exactly_and_no_prompt_is_like_another(serve: Serve) -> None:
    engine = CountingEngine()
    ran = bench(serve(engine), "--json")
    page = json.loads(ran.stdout)
    assert (page["command"], page["problems"]) == ("bench", []), ran.stderr
    result = page["result"]
    assert result["model"] == MODEL
    one, three = result["batches"]
    assert (one["batch"], one["requests"], one["tokens"], one["prompt_tokens"]) == (1, 2, 20, 60)
    assert (three["batch"], three["requests"], three["tokens"]) == (3, 6, 60)
    # One token to know the vocabulary, then 8 in the warm-up of batch 1 and 24 in that of batch 3.
    assert engine.made == 1 + 8 + 24 + 20 + 60
    prompts = engine.prompts[1:]
    assert {len(each) for each in prompts} == {30}
    assert len({tuple(each[:4]) for each in prompts}) == len(prompts)
    assert one["prefix_hits"] == 0


def test_requests_of_one_reader_follow_on_one_connection() -> None:
    counting = CountingEngine()

    def answer(request: bytes) -> Iterable[bytes]:
        head, *pieces = counting(request)
        return (CHUNKED, chunked(*pieces)) if head is STREAM else (head, *pieces)

    engine = OddEngine(answer, keeps=True)
    try:
        ran = bench(f"http://127.0.0.1:{engine.port}", "--json")
    finally:
        engine.close()
    assert json.loads(ran.stdout)["result"]["batches"][1]["tokens"] == 60, ran.stderr
    # Of 1 and 3 readers the second question.
    assert engine.connections == len(engine.requests) - 1 - 3


def test_tokens_in_one_part_and_other_clients_are_said(serve: Serve) -> None:
    ran = bench(serve(CountingEngine(of_others=5)))
    assert ran.exit_code == 1
    assert "! its 20 tokens came in 10 parts" in ran.stdout
    assert (
        "! another client was at work: the engine made 30 tokens, 20 of them for this one"
        in ran.stdout
    )
    assert all(len(line) <= 120 for line in ran.stdout.splitlines())


def test_a_small_vocabulary_gets_tokens_that_it_has(serve: Serve) -> None:
    engine = CountingEngine(largest_token=511)
    ran = bench(serve(engine), "--json")
    assert json.loads(ran.stdout)["result"]["batches"][1]["tokens"] == 60
    assert max(max(each) for each in engine.prompts) < 500


def test_each_turn_of_a_chat_has_those_before_and_says_what_the_cache_had(serve: Serve) -> None:
    ran = bench(serve(CountingEngine()), "--chat", "--json")
    turns = json.loads(ran.stdout)["result"]["chat"]["turns"]
    assert [each["tokens"] for each in turns] == [10] * 4
    assert turns[0]["hits"] == 0
    assert all(0.5 < each["hits"] < 1 for each in turns[1:])
    lengths = [each["prompt_tokens"] for each in turns]
    assert lengths == sorted(lengths) and abs(lengths[0] - 30) <= 3


def test_the_key_is_sent_and_shown_nowhere(serve: Serve, tmp_path: Path) -> None:
    engine = CountingEngine()
    address = serve(engine)
    (tmp_path / "key").write_text("fn90-secret\n")
    ran = bench(address, "--key-file", str(tmp_path / "key"), "--json")
    assert engine.authorization == {"Bearer fn90-secret"}
    ran = bench(address, "--json", FORTYNINETY_KEY="fn90-other")
    assert engine.authorization == {"Bearer fn90-secret", "Bearer fn90-other"}
    assert "fn90" not in ran.output


def test_a_key_goes_over_no_connection_that_others_read() -> None:
    ran = bench("http://gpu-box-1.example.org", FORTYNINETY_KEY="fn90-secret")
    assert ran.exit_code == 2
    assert "expected https where a key is sent" in ran.output and "fn90" not in ran.output


def test_it_is_compared_with_an_earlier_run(serve: Serve, tmp_path: Path) -> None:
    address, file = serve(CountingEngine()), tmp_path / "earlier.json"
    file.write_text(bench(address, "--json").stdout)
    lines = bench(address, "--compare", str(file)).stdout.splitlines()
    assert any(line.startswith("batch 3: ") and ", earlier " in line for line in lines)
    lines = bench(address, "--compare", str(file), "--batch", "2").stdout.splitlines()
    assert "! the earlier one has none of these batches" in lines
    ran = bench(address, "--compare", str(file), "--prompt-tokens", "31")
    assert "! the earlier one was of another load: prompt_tokens differ" in ran.stdout
    file.write_text("[]")
    assert (
        "is not what `fortyninety bench --json` prints"
        in bench(address, "--compare", str(file)).output
    )


def test_an_engine_that_counts_nothing_is_not_measured(serve: Serve) -> None:
    def answer(request: bytes) -> tuple[bytes, ...]:
        return plain("404 Not Found", b"{}")

    ran = bench(serve(answer), "--model", "m", "--json")
    page = json.loads(ran.stdout)
    assert (ran.exit_code, page["result"]) == (1, None)
    assert "answering HTTP 404" in page["problems"][0]["found"]


@pytest.mark.parametrize("given", ["0", "1,x", "1,,2", "", "-1", "9999", "1," * 40])
def test_a_wrong_batch_is_refused(given: str) -> None:
    ran = bench("http://127.0.0.1:9", "--batch", given)
    assert ran.exit_code == 2 and "--batch" in ran.output
