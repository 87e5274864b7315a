"""End every command with an exit code of its own for a defect, and without a traceback."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from typing import Any

import click

# A defect of this project: EX_SOFTWARE of sysexits.h. Not 1, which is a command's answer, such as
# "does not fit".
DEFECT = 70
# As a shell reports SIGINT (2) and SIGPIPE (13): 128 and the signal.
INTERRUPTED = 130
NOBODY_READS = 141

TRACEBACK_VARIABLE = "FORTYNINETY_TRACEBACK"


class EndingGroup(click.Group):
    """A group whose commands end with DEFECT, INTERRUPTED or NOBODY_READS where none answered."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn an exception into an exit code and one line."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (click.Abort, KeyboardInterrupt, EOFError):
            click.echo("Interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            # So that the interpreter does not write to the pipe again as it exits.
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
            ctx.exit(NOBODY_READS)
        except Exception as error:
            click.echo(_said(ctx, error), err=True)
            ctx.exit(DEFECT)


def _said(ctx: click.Context, error: Exception) -> str:
    """One line that says that this is a defect, and where the traceback is."""
    name = " ".join(filter(None, (ctx.info_name, ctx.invoked_subcommand)))
    whole = "".join(traceback.format_exception(error))
    if os.environ.get(TRACEBACK_VARIABLE):
        click.echo(whole, err=True)
        where = "all of it is above"
    else:
        where = _kept(whole)
    # An exception's repr() escapes what a terminal would obey.
    return (
        f"Error: a defect of fortyninety itself ended `{name}`, and it answered nothing "
        f"({repr(error)[:300]}); {where}. Please report it"
    )


def _kept(whole: str) -> str:
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="fortyninety-", suffix=".traceback", delete=False
        ) as file:
            file.write(whole)
    except (OSError, ValueError):
        return f"to see all of it: {TRACEBACK_VARIABLE}=1"
    return f"all of it is in {file.name}"
