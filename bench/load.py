"""Ask an address for completions again and again, and write down what became of each request.

What it writes is a client's own account, to be held against what a gateway counts.
"""

from __future__ import annotations

import itertools
import json
import signal
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import httpx

# Seconds for an answer: longer than a gateway holds a request.
PATIENCE = 700


@dataclass(frozen=True)
class Asked:
    """A request: when it was sent, and what came of it.

    `first` is the seconds until the first token of a stream, or the whole of a single answer.
    `tokens` is what the engine says that it made, `done` whether the answer came to its end.
    """

    at: float
    streamed: bool
    status: int | None
    first: float | None
    seconds: float
    done: bool
    tokens: int
    said: str = ""

    @property
    def whole(self) -> bool:
        """Whether it was answered, to the end."""
        return self.status == 200 and self.done

    @property
    def cut(self) -> bool:
        """Whether an answer began and did not come to its end."""
        return self.status == 200 and not self.done


@dataclass(frozen=True)
class Client:
    """Who asks: the address, the authority that its certificate is of, a key and a model."""

    url: str
    believed: ssl.SSLContext
    secret: str
    model: str
    tokens: int

    def open(self) -> httpx.Client:
        """A connection that is kept, as a client of an API does."""
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.secret}"},
            verify=self.believed,
            timeout=PATIENCE,
        )

    def ask(self, connection: httpx.Client, prompt: str, *, streamed: bool) -> Asked:
        """Ask once. Every answer has as many tokens as were asked for, where it is whole."""
        body: dict[str, Any] = {
            **{"model": self.model, "prompt": prompt, "max_tokens": self.tokens},
            **{"ignore_eos": True, "stream": streamed},
            **({"stream_options": {"include_usage": True}} if streamed else {}),
        }
        at, began = time.time(), time.monotonic()
        status, first, said, lines = None, None, "", list[str]()
        try:
            with connection.stream("POST", "/v1/completions", json=body) as answer:
                status = answer.status_code
                for line in answer.iter_lines():
                    if line:
                        first = time.monotonic() - began if first is None else first
                        lines.append(line.removeprefix("data: "))
        except httpx.HTTPError as error:
            said = repr(error)
        done = "[DONE]" in lines if streamed else not said
        tokens = _tokens(lines)
        if not said and not (status == 200 and done and tokens == self.tokens):
            said = "".join(lines)[-300:]
        seconds = time.monotonic() - began
        done = done and tokens == self.tokens
        return Asked(at, streamed, status, first, seconds, done, tokens, said)


def _tokens(lines: Iterable[str]) -> int:
    """What the engine says in the last part of an answer that it made."""
    found = 0
    for line in lines:
        try:
            usage = json.loads(line).get("usage")
            found = int(usage["completion_tokens"]) if usage else found
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return found


@contextmanager
def load(
    client: Client, *, streams: int, singles: int, pause: float = 0.5
) -> Iterator[list[Asked]]:
    """So many who ask, one request after the other, in conversations of their own.

    What was asked is in the list that is given, whole once the block is left.
    """
    over, asked, numbers = threading.Event(), list[Asked](), itertools.count()

    def go_on(streamed: bool) -> None:
        with client.open() as connection:
            while not over.is_set():
                prompt = f"Conversation {next(numbers)}: once upon a time"
                asked.append(client.ask(connection, prompt, streamed=streamed))
                over.wait(pause)

    with ThreadPoolExecutor(streams + singles) as pool:
        each: list[Future[None]] = [
            pool.submit(go_on, number < streams) for number in range(streams + singles)
        ]
        try:
            yield asked
        finally:
            over.set()
    for one in each:
        one.result()


def summary(asked: Iterable[Asked]) -> dict[str, Any]:
    """What became of all of them, and the longest that a stream's first token took."""
    known = list(asked)
    firsts = sorted(each.first for each in known if each.streamed and each.first is not None)
    return {
        "requests": len(known),
        "streams": sum(each.streamed for each in known),
        "whole": sum(each.whole for each in known),
        "cut": sum(each.cut for each in known),
        "failed": sum(not each.whole and not each.cut for each in known),
        "tokens": sum(each.tokens for each in known),
        "longest_first_token": round(firsts[-1], 2) if firsts else None,
        "median_first_token": round(firsts[len(firsts) // 2], 2) if firsts else None,
        "said": sorted({each.said for each in known if not each.whole})[:10],
    }


def of_a_client(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say who asks where, and how much at a time."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option("--url", required=True, help="Of the front, such as https://llm.lan."),
    click.option(
        "--authority", type=Path, required=True, help="The certificate that signed its own."
    ),
    click.option("--key-file", type=Path, required=True, help="Has a key, and nothing else."),
    click.option("--model", required=True, help="The name that it is asked by."),
    click.option("--streams", default=3, show_default=True, help="Who ask for streams."),
    click.option("--singles", default=3, show_default=True, help="Who ask for whole answers."),
    click.option("--tokens", default=32, show_default=True, help="Tokens of each answer."),
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@of_a_client
@click.option("--pause", default=0.5, show_default=True, help="Seconds between two of one client.")
@click.option("--output", type=Path, required=True, help="A line of JSON for each request.")
def main(  # noqa: PLR0917 (click gives them by name)
    url: str,
    authority: Path,
    key_file: Path,
    model: str,
    streams: int,
    singles: int,
    tokens: int,
    pause: float,
    output: Path,
) -> None:
    """Ask until Ctrl-C or SIGTERM, then say what became of it as one JSON object.

    \b
    Examples:
      python -m bench.load --url https://llm.lan --authority prod.authority/authority.pem \\
        --key-file ada.key --model my-model --output asked.jsonl
    """
    believed = ssl.create_default_context(cafile=str(authority))
    client = Client(url, believed, key_file.read_text().strip(), model, tokens)
    over = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda _signal, _frame: over.set())
    with output.open("w") as stream:
        with load(client, streams=streams, singles=singles, pause=pause) as asked:
            written = 0
            while not over.wait(0.5):
                written = _write(stream, asked, written)
        _write(stream, asked, written)
    click.echo(json.dumps(summary(asked), indent=2))


def _write(stream: Any, asked: list[Asked], written: int) -> int:
    new = asked[written:]
    stream.writelines(f"{json.dumps(asdict(each))}\n" for each in new)
    stream.flush()
    return written + len(new)


if __name__ == "__main__":
    main()
