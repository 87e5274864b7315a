"""Ask the model on a host of an inventory: `fortyninety ask`."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from fortyninety.cli.each_host import connected_hosts
from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE, NO, NO_ANSWER
from fortyninety.cli.options import AS_JSON, INVENTORY, LIMIT
from fortyninety.engine.bounded_http import Unanswered
from fortyninety.engine.streamed_chat import Answer, Message, chat
from fortyninety.problem import Problem
from fortyninety.text.printable import printable

if TYPE_CHECKING:
    from fortyninety.fleet.engines import Serving

# Bytes of a question, and of a line of a conversation.
LONGEST_QUESTION = 2**20


@click.command()
@INVENTORY
@click.argument("prompt", required=False)
@LIMIT
@click.option("--chat", "chatting", is_flag=True, help="Go on asking; Ctrl-D ends.")
@click.option(
    "--max-tokens",
    type=click.IntRange(1, 131072),
    default=1024,
    metavar="TOKENS",
    help="The most of an answer; default: 1024.",
)
@AS_JSON
def ask(
    inventory: str,
    prompt: str | None,
    limit: tuple[str, ...],
    *,
    chatting: bool,
    max_tokens: int,
    as_json: bool,
) -> None:
    """Ask the model, through SSH, and print its answer as it comes.

    The first host of INVENTORY whose engine serves is asked, of a cell its head. No port is opened
    here or there. How fast it was is one line on standard error. With --chat the conversation
    is kept, and each line is a question.

    Ends with 0 where it answered, 1 where no engine serves or one said an error, 2 where a host
    could not be reached.

    \b
    Examples:
      fortyninety ask inventory/prod.py "Why is the sky blue?"
      fortyninety ask inventory/prod.py --limit gpu-box-2 "Say hello."
      fortyninety ask inventory/prod.py --chat
      fortyninety ask inventory/prod.py "Say hello." --json | jq -r .result.answer
    """
    if chatting and as_json:
        raise click.UsageError("give --chat or --json, not both")
    if prompt is None and not chatting:
        raise click.UsageError('give a prompt, such as "Say hello.", or --chat')
    if prompt is not None:
        prompt = _question(prompt)
    from fortyninety.fleet.engines import NoneServes, first_serving  # noqa: PLC0415

    with connected_hosts(inventory, limit, as_root=False) as connected:
        try:
            serving = first_serving(connected)
        except NoneServes as none:
            if none.unreachable:
                raise NoAnswer("no host serves", none.problems) from none
            _end_without_answer(none.problems, as_json)
        else:
            if chatting:
                sys.exit(_chat(serving, prompt, max_tokens))
            _ask(serving, prompt or "", max_tokens, as_json)


def _ask(serving: Serving, prompt: str, max_tokens: int, as_json: bool) -> None:
    messages = [{"role": "user", "content": prompt}]
    try:
        answer = _answer(serving, messages, max_tokens, _silently if as_json else _print)
    except _Failed as failed:
        if failed.unreachable:
            raise NoAnswer("", (failed.problem,)) from failed
        _end_without_answer((failed.problem,), as_json)
    else:
        if as_json:
            print_envelope(DONE, _values(serving, answer))
        else:
            _print_end(answer)


def _chat(serving: Serving, prompt: str | None, max_tokens: int) -> int:
    """Ask line by line, and return the exit code: whether the last question was answered."""
    messages: list[Message] = []
    code = DONE
    for question in _questions(prompt):
        messages.append({"role": "user", "content": question})
        try:
            answer = _answer(serving, messages, max_tokens, _print)
        except _Failed as failed:
            # It is not part of the conversation: the next may be answered.
            messages.pop()
            click.secho(str(failed.problem), fg="red", err=True)
            if failed.unreachable:
                return NO_ANSWER
            code = NO
        else:
            messages.append({"role": "assistant", "content": answer.text})
            _print_end(answer)
            code = DONE
    return code


def _questions(first: str | None) -> Iterator[str]:
    """The questions of a conversation: `first`, then lines of standard input, but empty ones."""
    interactive = sys.stdin.isatty()
    if first is not None:
        yield first
    lines = _lines()
    while True:
        if interactive:
            click.echo("> ", nl=False, err=True)
        line = next(lines, None)
        if line is None:
            if interactive:
                click.echo(err=True)
            return
        if line.strip():
            try:
                yield _question(line)
            except click.UsageError as wrong:
                click.echo(f"Error: {wrong.format_message()}", err=True)


def _lines() -> Iterator[str]:
    """The lines of standard input, while the connection to the host is kept alive."""
    descriptor, rest = sys.stdin.fileno(), b""
    while True:
        # Not the blocking read of a file object: nothing else would run meanwhile.
        select.select([descriptor], [], [])
        data = os.read(descriptor, 65536)
        rest += data
        *lines, rest = rest.split(b"\n")
        if len(rest) > LONGEST_QUESTION or (not data and rest):
            lines, rest = [*lines, rest], b""
        for line in lines:
            yield line.decode(errors="surrogateescape")
        if not data:
            return


def _question(text: str) -> str:
    """The text as a question. Raises UsageError where no engine can be asked it."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise click.UsageError("the question is no valid UTF-8") from None
    if not text.strip() or size > LONGEST_QUESTION:
        raise click.UsageError(
            f"the question has {size} bytes; expected some text, at most {LONGEST_QUESTION} bytes"
        )
    return text


class _Failed(Exception):
    """Why there is no answer, or not all of it, and whether the host was lost."""

    def __init__(self, problem: Problem, *, unreachable: bool = False) -> None:
        super().__init__(str(problem))
        self.problem, self.unreachable = problem, unreachable


def _answer(
    serving: Serving, messages: list[Message], max_tokens: int, tell: Callable[[str], None]
) -> Answer:
    """Ask once. Raises _Failed, with what came already printed on a line of its own."""
    from fortyninety.connection.bounded import HostLost  # noqa: PLC0415
    from fortyninety.connection.tunnel import NotForwarded  # noqa: PLC0415
    from fortyninety.fleet.engines import unanswered_problem  # noqa: PLC0415

    settings, told = serving.settings, False

    def pass_on(part: str) -> None:
        nonlocal told
        told = True
        tell(part)

    try:
        with serving.stream() as stream:
            return chat(
                stream,
                settings.port,
                messages,
                model=settings.model_name,
                most_tokens=max_tokens,
                tell=pass_on,
            )
    except KeyboardInterrupt:
        if told:
            tell("\n")
        raise
    except (HostLost, NotForwarded, Unanswered) as error:
        if told:
            tell("\n")
        problem = unanswered_problem(serving, error, "a whole answer")
        raise _Failed(problem, unreachable=not serving.reached) from error


def _print(part: str) -> None:
    click.echo(printable(part, len(part), keep="\n\t"), nl=False)


def _silently(part: str) -> None:
    del part


def _print_end(answer: Answer) -> None:
    if not answer.text.endswith("\n"):
        click.echo()
    speed = "" if answer.rate is None else f", {answer.rate:.1f} tokens/s"
    tokens = f"{answer.tokens} token{'' if answer.tokens == 1 else 's'}"
    cut = ", cut off there (--max-tokens)" if answer.finish == "length" else ""
    click.secho(
        f"first token after {answer.first_token:.2f} s{speed}, {tokens}{cut}", dim=True, err=True
    )


def _values(serving: Serving, answer: Answer) -> dict[str, Any]:
    return {
        "host": serving.host.name,
        "model": serving.settings.model_name,
        "answer": answer.text,
        "tokens": answer.tokens,
        "prompt_tokens": answer.prompt_tokens,
        "first_token_seconds": round(answer.first_token, 3),
        "tokens_per_second": None if answer.rate is None else round(answer.rate, 2),
        "finish_reason": answer.finish,
    }


def _end_without_answer(problems: tuple[Problem, ...], as_json: bool) -> None:
    for problem in problems:
        click.secho(f"Error: {problem}", fg="red", err=True)
    if as_json:
        print_envelope(NO, None, problems)
    sys.exit(NO)
