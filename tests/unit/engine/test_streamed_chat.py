"""An answer comes token by token; an engine that is slow, endless or hostile is left in time."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from fortyninety.engine.bounded_http import Bounds, Unanswered
from fortyninety.engine.streamed_chat import Answer, chat, served_models
from tests.unit.engine.odd_engine import (
    CHUNKED,
    DONE,
    STREAM,
    Answering,
    OddEngine,
    chunked,
    event,
    said,
)

QUICK = Bounds(silence=0.3, whole=1.5, bytes=100_000)
# For answers that come at once, however busy the machine is.
PATIENT = Bounds(silence=60, whole=120, bytes=100_000)
USAGE = event(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 3})

Engines = Callable[[Answering], OddEngine]


@pytest.fixture
def engines() -> Iterator[Engines]:
    made: list[OddEngine] = []

    def make(answer: Answering) -> OddEngine:
        made.append(OddEngine(answer))
        return made[-1]

    yield make
    for engine in made:
        engine.close()


def always(*pieces: bytes) -> Answering:
    return lambda _: pieces


def ask(
    engine: OddEngine,
    tell: Callable[[str], None] = lambda _: None,
    bounds: Bounds = PATIENT,
    prompt: str = "Say hello.",
) -> Answer:
    with engine.connection() as stream:
        messages = [{"role": "user", "content": prompt}]
        return chat(
            stream, engine.port, messages, model="m", most_tokens=9, tell=tell, bounds=bounds
        )


def refused(engine: OddEngine, bounds: Bounds = PATIENT) -> str:
    with pytest.raises(Unanswered) as caught:
        ask(engine, bounds=bounds)
    line = str(caught.value)
    assert line.isprintable() and len(line) < 400
    return line


def test_an_answer_is_told_part_by_part_and_counted_as_the_engine_counts(engines: Engines) -> None:
    engine = engines(always(STREAM, said("Hel"), said("lo", "stop"), USAGE, DONE))
    parts: list[str] = []
    answer = ask(engine, parts.append)
    assert parts == ["Hel", "lo"]
    assert (answer.text, answer.tokens, answer.prompt_tokens) == ("Hello", 3, 7)
    assert answer.finish == "stop" and 0 < answer.first_token <= answer.seconds
    body = json.loads(engine.requests[0].partition(b"\r\n\r\n")[2])
    assert body["messages"] == [{"role": "user", "content": "Say hello."}]
    assert (body["model"], body["max_tokens"], body["stream"]) == ("m", 9, True)


def test_each_part_is_told_before_the_next_is_sent(engines: Engines) -> None:
    told = threading.Event()

    def answer(_: bytes) -> Iterator[bytes]:
        yield STREAM
        yield said("first")
        assert told.wait(30), "the first part was kept back"
        yield said("second") + DONE

    assert ask(engines(answer), lambda _: told.set()).text == "firstsecond"


def test_a_chunked_answer_is_read_as_well_wherever_it_was_cut(engines: Engines) -> None:
    whole = b": a comment\n\n" + said("Hé") + said("llo 漢字", "length") + DONE
    pieces = [whole[start : start + 7] for start in range(0, len(whole), 7)]
    answer = ask(engines(always(CHUNKED, chunked(*pieces))))
    assert (answer.text, answer.finish, answer.tokens) == ("Hé" + "llo 漢字", "length", 2)


def test_thoughts_are_tokens_and_no_part_of_the_answer(engines: Engines) -> None:
    thoughts = [
        event(choices=[{"delta": {key: "hm"}}]) for key in ("reasoning_content", "reasoning")
    ]
    answer = ask(engines(always(STREAM, *thoughts, said("yes"), DONE)))
    assert (answer.text, answer.tokens) == ("yes", 3)
    assert "without a text: its 9 tokens were thoughts" in refused(
        engines(always(STREAM, *thoughts, DONE))
    )


def test_what_the_engine_wrote_is_told_as_it_is(engines: Engines) -> None:
    parts: list[str] = []
    ask(engines(always(STREAM, said("\x1b[2J\u202e"), DONE)), parts.append)
    assert parts == ["\x1b[2J\u202e"]


NOT_FOUND = b'{"object":"error","message":"no model m\\u001b[2J","code":404}'
ERROR = b'{"error":{"message":"too long: 99 tokens","type":"x"}}'


def error(status: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


@pytest.mark.parametrize(
    ("pieces", "line"),
    [
        ((error(b"404 Not Found", NOT_FOUND),), "answering HTTP 404: no model m\\x1b[2J"),
        ((error(b"400 Bad Request", ERROR),), "answering HTTP 400: too long: 99 tokens"),
        ((error(b"500 Oops", b"\x1b[2J" * 9),), "answering HTTP 500: '\\x1b[2J"),
        ((error(b"302 Found", b""),), "answering HTTP 302: ''"),
        ((b"\x00\xff\x1b[2J\r\n\r\n",), "answering what is no HTTP"),
        ((b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n",), "answering what is no HTTP"),
        ((b"HTTP/1.1 200 OK\r\nA: " + b"b" * 90_000,), "answering what is no HTTP"),
        ((), "ending the connection before its answer is complete"),
        ((STREAM, said("a")), "ending in the middle of its answer"),
        ((CHUNKED, b"5\r\nab"), "ending"),
        ((CHUNKED, b"f" * 200 + b"\r\nab"), "answering what is no HTTP"),
        ((STREAM, b"data: {\n\n"), "saying '{'; expected a JSON object"),
        ((STREAM, b"data: [1]\n\n"), "saying '[1]'; expected a JSON object"),
        ((STREAM, b"data: " + b"[" * 50_000 + b"\n\n"), "expected a JSON object"),
        ((STREAM, b"\x1b]0;hi\x07\n\n"), "saying '\\x1b]0;hi\\x07\\n'; expected an event"),
        ((STREAM, event(error={"message": "CUDA\nout of memory"})), "an error: CUDA out of memory"),
        ((STREAM, DONE), "answering without a text"),
        ((STREAM, said(["a"]), said(7), DONE), "answering without a text"),
        ((STREAM, event(choices=7), event(choices=[]), event(usage=[]), DONE), "without a text"),
        ((error(b"200 OK", b'{"choices":[]}'),), "answering 'text/plain'; expected a stream"),
    ],
    ids=str,
)
def test_what_is_no_answer_is_said_in_one_line(
    engines: Engines, pieces: tuple[bytes, ...], line: str
) -> None:
    assert line in refused(engines(always(*pieces)))


@pytest.mark.parametrize("usage", [None, 7, {"completion_tokens": True}, {"completion_tokens": -1}])
def test_numbers_of_tokens_that_are_none_are_counted_here(engines: Engines, usage: object) -> None:
    counted = event(choices=[], usage=usage)
    answer = ask(engines(always(STREAM, said("a"), said("b"), counted, DONE)))
    assert (answer.tokens, answer.prompt_tokens) == (2, None)


@pytest.mark.parametrize(
    "before", [b"", b"HTTP/1.1 200 OK\r\n", STREAM, STREAM + said("a")], ids=len
)
def test_an_engine_that_falls_silent_is_left(engines: Engines, before: bytes) -> None:
    def answer(_: bytes) -> Iterator[bytes]:
        yield before
        engine.over.wait()

    engine = engines(answer)
    assert refused(engine, QUICK) == "silent for 0.3 s"


def test_an_engine_that_drips_is_left_after_the_time_of_a_whole_answer(engines: Engines) -> None:
    def answer(_: bytes) -> Iterator[bytes]:
        yield STREAM
        while not engine.over.wait(0.05):
            yield b": \n"

    engine = engines(answer)
    began = time.monotonic()
    # Never silent for so long, however busy the machine is.
    bounds = Bounds(silence=60, whole=1.5, bytes=100_000)
    assert refused(engine, bounds) == "taking more than 1.5 s for one answer"
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    "piece", [said("a" * 500), b"data: " + b"a" * 500, b":\n", b"event: x\n"], ids=len
)
def test_an_answer_without_end_is_left_at_its_bound(engines: Engines, piece: bytes) -> None:
    def answer(_: bytes) -> Iterable[bytes]:
        return itertools.chain([STREAM], itertools.repeat(piece))

    assert refused(engines(answer)) == "sending more than 100000 bytes for one answer"


def models(*names: object) -> bytes:
    return error(b"200 OK", json.dumps({"data": [{"id": name} for name in names]}).encode())


def listed(engine: OddEngine, bounds: Bounds = PATIENT) -> list[str]:
    with engine.connection() as stream:
        return served_models(stream, engine.port, bounds)


def test_the_models_of_an_engine_are_those_that_it_lists(engines: Engines) -> None:
    assert listed(engines(always(models("a/b", 7, "c")))) == ["a/b", "c"]


@pytest.mark.parametrize(
    "content", [b"{}", b"[]", b'{"data": 7}', b"\x1b[2J", b"9" * 200_000], ids=len
)
def test_a_list_of_models_that_is_none_is_no_answer(engines: Engines, content: bytes) -> None:
    with pytest.raises(Unanswered) as caught:
        listed(engines(always(error(b"200 OK", content))))
    assert str(caught.value).isprintable()


def test_an_engine_that_reads_no_request_is_left(engines: Engines) -> None:
    class Full:
        def sendall(self, data: bytes, /) -> None:
            raise TimeoutError

        def recv(self, size: int, /) -> bytes:
            raise AssertionError("nothing was asked")

        def settimeout(self, seconds: float | None, /) -> None:
            assert seconds == QUICK.silence

    with pytest.raises(Unanswered, match=r"^taking no request for 0\.3 s$"):
        served_models(Full(), 8000, QUICK)
