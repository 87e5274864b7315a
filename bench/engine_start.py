"""Take an engine's starts apart by its own log: from its unit's start to its first completion."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from lab import hosts
from lab.errors import LabError

# What ends each phase, in the words of 0.8.5.post1, 0.24.0 and 0.32.0. Where several ranks or
# processes write such a line, the last of them ends it.
PHASES = {
    "imports": r"non-default args:|vLLM API server version",
    "model looked at": r"Resolved architecture:|This model supports multiple tasks",
    "engine's process": r"Initializing a V\d LLM engine",
    "workers": r"Loading model from scratch|Starting to load model",
    "weights": r"Model loading took",
    "compiling": r"torch\.compile took",
    "memory profile": r"Available KV cache memory:|Memory profiling takes|GPU KV cache size:"
    r"|Explicitly set .* for KV cache",
    "graphs": r"Graph capturing finished|init engine \(.*\) took",
    "server": r"Starting vLLM (API )?server on|Application startup complete",
    "first completion": r'"POST /v1/(chat/)?completions HTTP/[\d.]+" 200',
}
# What the engine itself says of parts of them, in seconds; the longest of several ranks.
SAID = {
    "weights read": r"Loading weights took ([\d.]+) seconds",
    "model loaded": r"Model loading took .* and ([\d.]+) seconds",
    "compiled": r"torch\.compile took ([\d.]+) s",
    "memory profiled": r"Memory profiling takes ([\d.]+) seconds",
    "first run": r"Initial profiling/warmup run took ([\d.]+) s",
    "graphs captured": r"Graph capturing finished in ([\d.]+) secs",
    "engine set up": r"init engine \(.*\) took ([\d.]+) s",
}
_RELEASE = re.compile(r"LLM engine \(v([\w.+-]{1,40})\)|API server version ([\w.+-]{1,40})")
# `journalctl --output=short-unix`, and what vLLM dates its lines with: no year, and whole seconds.
_JOURNAL = re.compile(r"^(\d{9,11}\.\d{6}) \S+ ([^:\s]+): ")
_DATED = re.compile(r"\b[A-Z]+ (\d\d-\d\d \d\d:\d\d:\d\d) \[")
_STARTING = re.compile(r"systemd\[1\]: Starting ")
_HEADING = "## "
_YEAR = 366 * 86400
JOURNAL = "journalctl --unit=vllm.service --output=short-unix --no-pager --quiet"


@dataclass
class Start:
    """One start: seconds of each phase that its log shows, and what the engine says itself.

    `from_unit` where the log says when systemd began; else the first phase is not known, and
    `total` counts from its end.
    """

    name: str
    from_unit: bool = False
    release: str = ""
    phases: dict[str, float] = field(default_factory=dict)
    total: float = 0.0
    said: dict[str, float] = field(default_factory=dict)


def starts_of(lines: Iterable[str], name: str) -> list[Start]:
    """Every start that a log shows.

    A journal's begin where systemd starts the unit, those of docs/measured/ at their headings; any
    other log is of one.
    """
    return [start for heading, part in _parts(lines, name) if (start := _start(heading, part))]


def _parts(lines: Iterable[str], name: str) -> Iterator[tuple[str, list[str]]]:
    part: list[str] = []
    heading, number = name, 1
    for line in lines:
        if line.startswith(_HEADING) or _STARTING.search(line):
            # A heading and the unit's start below it begin the same part.
            if any(_when(earlier) is not None for earlier in part):
                yield heading, part
                part, number = [], number + 1
                heading = f"{name} {number}"
            if line.startswith(_HEADING):
                heading = line.removeprefix(_HEADING).partition("{")[0].strip()
        part.append(line)
    yield heading, part


def _start(name: str, lines: list[str]) -> Start | None:
    start = Start(name)
    ends: dict[str, float] = {}
    began: float | None = None
    for line in lines:
        when = _when(line)
        if when is None:
            continue
        if began is None and _STARTING.search(line):
            began = when
        _read_what_it_says(start, line)
        ends |= {phase: when for phase, pattern in PHASES.items() if re.search(pattern, line)}
        if "first completion" in ends:
            break
    if not ends:
        return None
    start.from_unit = began is not None
    known = [phase for phase in PHASES if phase in ends]
    if began is None:
        began = ends[known.pop(0)]
    reached = began
    for phase in known:
        # No year in the engine's own dates: a start may see the new one in.
        end = ends[phase] + (_YEAR if ends[phase] < reached - _YEAR / 2 else 0)
        start.phases[phase] = round(max(0.0, end - reached), 1)
        reached = max(reached, end)
    start.total = round(reached - began, 1)
    return start


def _read_what_it_says(start: Start, line: str) -> None:
    for said, pattern in SAID.items():
        if found := re.search(pattern, line):
            start.said[said] = max(start.said.get(said, 0.0), float(found[1]))
    if release := _RELEASE.search(line):
        start.release = release[1] or release[2]


def _when(line: str) -> float | None:
    if journal := _JOURNAL.match(line):
        return float(journal[1])
    if dated := _DATED.search(line):
        try:
            # 2000 has every day that a year may have.
            when = datetime.strptime(f"2000-{dated[1]}", "%Y-%m-%d %H:%M:%S")
        except ValueError:
            return None
        return when.replace(tzinfo=UTC).timestamp()
    return None


def _journal(name: str) -> list[str]:
    host = next((each for each in hosts.hosts() if each.name == name), None)
    if host is None:
        raise click.UsageError(f"{name} is no lab host; see `fortyninety lab status`")
    try:
        return host.ssh(JOURNAL, check=True, timeout=60).stdout.splitlines()
    except LabError as error:
        raise click.ClickException(str(error)) from error


def _print(starts: list[Start]) -> None:
    table = Table("seconds", *(f"{start.name}\n{start.release}" for start in starts))
    rows = {phase: [start.phases.get(phase) for start in starts] for phase in PHASES}
    rows["in all"] = [start.total for start in starts]
    rows |= {f"it says: {said}": [start.said.get(said) for start in starts] for said in SAID}
    for name, row in rows.items():
        if any(seconds is not None for seconds in row):
            table.add_row(name, *("" if seconds is None else f"{seconds:.1f}" for seconds in row))
    Console(width=max(100, 40 + 20 * len(starts))).print(table)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("logs", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--host", "names", multiple=True, help="A lab host, by its journal; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(logs: tuple[Path, ...], names: tuple[str, ...], as_json: bool) -> None:
    """Take the starts of an engine apart, by logs or by a lab host's journal.

    A journal (`journalctl --unit=vllm.service --output=short-unix`) has the start of the unit, a
    tenth of a second and the first completion; what an engine wrote elsewhere has whole seconds
    from the end of its imports.

    \b
    Examples:
      python -m bench.engine_start --host lab1
      python -m bench.engine_start docs/measured/engine-starts.log --json
    """
    if not logs and not names:
        raise click.UsageError("expected a log, or --host with a lab host")
    starts = [
        start
        for log in logs
        for start in starts_of(log.read_text(errors="replace").splitlines(), log.stem)
    ] + [start for name in names for start in starts_of(_journal(name), name)]
    if not starts:
        raise click.ClickException(
            "no start of an engine in it: expected lines as `journalctl --output=short-unix` or "
            "vLLM itself writes them. Is it the log of its first minutes?"
        )
    if as_json:
        click.echo(json.dumps([asdict(start) for start in starts], indent=2))
    else:
        _print(starts)


if __name__ == "__main__":
    main()
