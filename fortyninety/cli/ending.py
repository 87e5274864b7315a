"""End every command with one line, an exit code, and one JSON object where it was asked for.

An exception of whatever kind ends so too: a defect has a code of its own, and no traceback.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import click

from fortyninety.cli.envelope import asks_for_json, command_of, print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DEFECT, INTERRUPTED, NO_ANSWER, NOBODY_READS
from fortyninety.cli.streams import make_usable
from fortyninety.problem import Problem
from fortyninety.text.printable import printable, printable_message

TRACEBACK_VARIABLE = "FORTYNINETY_TRACEBACK"
# Characters of a line on standard error.
LONGEST = 1000
# What this machine lacks, and no defect: room, a disk to write to, open files.
_LACKING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE})


class EndingGroup(click.Group):
    """A group whose commands end in the one way, also where none answered."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command of the line, and exit."""
        line = list(sys.argv[1:] if args is None else args)
        if not standalone_mode:
            return super().main(line, prog_name, complete_var, standalone_mode=False, **extra)
        make_usable()
        problems: tuple[Problem | str, ...]
        try:
            ended = super().main(line, prog_name, complete_var, standalone_mode=False, **extra)
        except (click.Abort, KeyboardInterrupt, EOFError):
            code, problems = INTERRUPTED, ("Interrupted",)
            _complain("Interrupted")
        except click.ClickException as error:
            code, problems = error.exit_code, _problems(error)
            _complain(*_lines(error))
        except Exception as error:
            if isinstance(error, OSError) and _is_lacking(error):
                code, said = NO_ANSWER, _lacked(error)
            else:
                code, said = DEFECT, _said(command_of(self, line), error)
            problems = (said,)
            _complain(f"Error: {said}")
        else:
            # What a command returns, or the code of an Exit.
            sys.exit(ended if isinstance(ended, int) else 0)
        if asks_for_json(line):
            try:
                print_envelope(code, problems=problems, command=command_of(self, line))
            except BrokenPipeError:
                code = _unread()
            except OSError:
                # Said already, or as little to be mended here.
                _unread()
        sys.exit(code)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; end where it is interrupted or nobody reads what it prints."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, EOFError) as error:
            raise click.Abort from error
        except BrokenPipeError:
            ctx.exit(_unread())


def _complain(*lines: str) -> None:
    """Say it on standard error, where somebody reads that."""
    try:
        for line in lines:
            click.echo(line, err=True)
    except OSError:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115


def _unread() -> int:
    """Write to the broken pipe no more, and return the exit code."""
    # The interpreter would write to it again as it exits.
    sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    return NOBODY_READS


def _problems(error: click.ClickException) -> tuple[Problem | str, ...]:
    if isinstance(error, NoAnswer) and error.problems:
        return error.problems
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return ("Missing command.",)
    return (_message(error),)


def _lines(error: click.ClickException) -> Iterator[str]:
    """What is printed on standard error: for a wrong call also how it is called."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        yield error.format_message()
        return
    if isinstance(error, click.UsageError) and error.ctx is not None:
        yield error.ctx.get_usage()
        help_option = error.ctx.help_option_names[-1]
        yield f"Try '{error.ctx.command_path} {help_option}' for help."
    if isinstance(error, NoAnswer) and error.problems:
        of_hosts = [printable(str(each), LONGEST) for each in error.problems]
        if not error.message:
            yield from (f"Error: {each}" for each in of_hosts)
            return
        yield f"Error: {_message(error)}"
        yield from (f"    - {each}" for each in of_hosts)
        return
    yield f"Error: {_message(error)}"


def _message(error: click.ClickException) -> str:
    """The message, each of its lines bounded; one line where there is no answer."""
    said = error.format_message()
    if isinstance(error, click.UsageError | NoAnswer):
        return printable(" ".join(said.split()), LONGEST)
    return printable_message(
        "\n".join(
            each if len(each) <= LONGEST else f"{each[:LONGEST]} ..." for each in said.split("\n")
        )
    )


def _said(command: str, error: Exception) -> str:
    """One line that says that this is a defect, and where the traceback is."""
    whole = "".join(traceback.format_exception(error))
    if os.environ.get(TRACEBACK_VARIABLE):
        _complain(whole)
        where = "all of it is above"
    else:
        where = _kept(whole)
    return (
        f"a defect of fortyninety itself ended `fortyninety {command}`, and it answered nothing "
        f"({printable(_repr(error), 300)}); {where}. Please report it"
    )


def _is_lacking(error: OSError) -> bool:
    # So tempfile says that every folder is full, or cannot be written to.
    return error.errno in _LACKING or str(error.strerror).startswith("No usable temporary dir")


def _lacked(error: OSError) -> str:
    where = "" if error.filename is None else f" ({error.filename})"
    return printable(f"on this machine: {error.strerror}{where}", LONGEST)


def _repr(error: Exception) -> str:
    try:
        return repr(error)
    except Exception:
        return type(error).__name__


def _kept(whole: str) -> str:
    try:
        with tempfile.NamedTemporaryFile(
            "w",
            encoding="utf-8",
            errors="backslashreplace",
            prefix="fortyninety-",
            suffix=".traceback",
            delete=False,
        ) as file:
            file.write(whole)
    except (OSError, ValueError):
        return f"to see all of it: {TRACEBACK_VARIABLE}=1"
    return f"all of it is in {file.name}"
