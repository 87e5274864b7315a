"""Have the engine's own parser check the command line before the unit is written."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Sequence

from pyinfra import host

from fortyninety.deadlines import PARSER
from fortyninety.operations.converge import Command, converging, within
from fortyninety.operations.reasons import only_asks
from fortyninety.releases.release import Release
from fortyninety.survey.reading import HostReading


@converging
def accepted(
    reading: HostReading,
    unit_path: str,
    unit_text: str,
    *,
    program: str,
    directory: str,
    temporary: str,
    release: Release,
    arguments: Sequence[str],
    environment: Sequence[tuple[str, str]],
) -> Iterator[Command]:
    """The release's own parser, on the host, takes `arguments` and knows `environment`.

    Asked before a unit that differs from the one on disk is written; the host fails, with what the
    engine says, before anything that serves is touched. `program` is the asking program on the
    host, `directory` the engine's environment, `temporary` a folder to execute from.
    """
    now = reading.files.get(unit_path)
    if now is not None and now.sha256 == hashlib.sha256(unit_text.encode()).hexdigest():
        host.noop("the unit on disk has this command line")
        return
    only_asks(
        "whether the engine takes its command line, which it is asked before the unit changes"
    )
    variables = [f"{name}={value}" for name, value in environment]
    command = [
        *("env", "-i", "PATH=/usr/bin:/bin", f"TMPDIR={temporary}", *variables),
        f"{directory}/bin/python",
        program,
        *("--parser-module", release.parser.module, "--parser-class", release.parser.class_),
        *("--", *arguments),
    ]
    refused = f"engine {release.release} refuses its command line; what serves is untouched"
    yield within(
        PARSER,
        f"cd / && {shlex.join(command)} || {{ echo {shlex.quote(refused)} >&2; exit 1; }}",
    )
