"""List the engine releases, and make their locks: `fortyninety engine`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.exit_codes import DONE, NO
from fortyninety.cli.options import AS_JSON
from fortyninety.cli.waiting import waiting
from fortyninety.releases import lock as engine_lock
from fortyninety.releases import wheels
from fortyninety.releases.advisories import fixed_by
from fortyninety.releases.release import Release, known_releases, load_release
from fortyninety.settings.defaults import default_setting

# Characters of a line in a pipe, where nothing is folded.
PIPE_WIDTH = 1000

PYTHON_VERSION = re.compile(r"3\.[0-9]{1,2}")

FIND_LINKS = click.option(
    "--find-links",
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    metavar="FOLDER",
    help="Wheels that the package index lacks; 0.32.0-cpu needs PyTorch's CPU wheel.",
)


@click.group()
def engine() -> None:
    """The pinned vLLM releases that a host can serve with.

    \b
    Examples:
      fortyninety engine list
      fortyninety engine lock 0.8.5.post1
    """


@engine.command("list")
@AS_JSON
@click.option(
    "--advisories", is_flag=True, help="Name every advisory and the release that fixes it."
)
def list_releases(as_json: bool, advisories: bool) -> None:
    """Show every release, the driver it needs, and open advisories.

    Ends with 0.

    \b
    Examples:
      fortyninety engine list
      fortyninety engine list --advisories
      fortyninety engine list --json | jq '.result.releases[] | select(.default)'
    """
    default = default_setting("engine")
    cards = [load_release(release) for release in known_releases()]
    if as_json:
        print_envelope(DONE, {"releases": [_values(card, default) for card in cards]})
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPE_WIDTH, no_color=True)
    tables = [_table(cards, default)]
    if advisories:
        tables += [_advisory_table(card) for card in cards if card.advisories]
    for table in tables:
        if not console.is_terminal:
            table.box = None
        console.print(table)


@engine.command()
@click.argument("release")
@FIND_LINKS
@click.option("--check", is_flag=True, help="Write nothing; end with 1 where the lock differs.")
@AS_JSON
def lock(release: str, find_links: tuple[str, ...], check: bool, as_json: bool) -> None:
    """Make the lock of RELEASE anew from its requirements.in.

    The lock is engines/RELEASE/requirements.txt. uv resolves as of the date in the release's card
    (locked_on), so the same card always gives the same lock. Ends with 0 where the lock is as it
    must be, 1 where it differs or cannot be made.

    \b
    Examples:
      fortyninety engine lock 0.8.5.post1
      fortyninety engine lock 0.8.5.post1 --check
      fortyninety engine lock 0.32.0-cpu --find-links ~/wheels
    """
    _require_known(release)
    try:
        text = engine_lock.compile_lock(release, find_links)
    except engine_lock.LockError as error:
        raise click.ClickException(str(error)) from error
    path = load_release(release).lock_path
    same = path.exists() and path.read_text() == text
    writes = not same and not check
    if writes:
        # Renamed into place: a lock that was cut off midway would look like an edited one.
        beside = path.with_suffix(".new")
        try:
            beside.write_text(text)
            beside.rename(path)
        except OSError as error:
            raise click.ClickException(f"{path} cannot be written: {error.strerror}") from error
    code = DONE if same or writes else NO
    pins = text.count("==")
    if as_json:
        print_envelope(
            code,
            {"release": release, "lock": str(path), "pins": pins, "same": same, "wrote": writes},
        )
    elif writes:
        click.echo(f"{release}: wrote {pins} pins")
    elif same:
        click.echo(f"{release}: the lock is up to date with requirements.in")
    else:
        click.echo(
            f"{release}: the lock differs; run `fortyninety engine lock {release}`", err=True
        )
    sys.exit(code)


@engine.command()
@click.argument("release")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--host-python",
    default="3.13",
    show_default=True,
    help="The hosts' own python3, which runs uv and an HTTP client: Debian 13 has 3.13.",
)
@FIND_LINKS
@AS_JSON
def download(
    release: str, folder: Path, host_python: str, find_links: tuple[str, ...], as_json: bool
) -> None:
    """Fetch every wheel of RELEASE into FOLDER.

    Also those of the host's tools. For hosts without a package index: copy the folder onto them,
    and set wheel_directory and package_index = "none". Existing wheels are not fetched again. Ends
    with 0 where all are there, 1 where one could not be fetched.

    \b
    Examples:
      fortyninety engine download 0.8.5.post1 wheels/
      rsync -a wheels/ gpu-box-1:/srv/wheels/
    """
    _require_known(release)
    if PYTHON_VERSION.fullmatch(host_python) is None:
        raise click.BadParameter(
            f"{host_python!r} is no version of Python; expected one such as 3.13",
            param_hint="'--host-python'",
        )
    with waiting(f"fetching the wheels of {release}"):
        try:
            count = wheels.download(release, folder, host_python=host_python, find_links=find_links)
        except (wheels.DownloadError, OSError) as error:
            raise click.ClickException(str(error)) from error
    if as_json:
        print_envelope(DONE, {"release": release, "folder": str(folder), "wheels": count})
    else:
        click.echo(f"{folder}: {count} wheels")


def _require_known(release: str) -> None:
    if release not in known_releases():
        raise click.BadParameter(f"{release} is not one of {', '.join(known_releases())}")


def _values(card: Release, default: str) -> dict[str, object]:
    return {
        "release": card.release,
        "default": card.release == default,
        "device": card.device,
        "cuda": card.cuda,
        "driver_floor": card.driver_floor,
        "python": card.python,
        "locked_on": card.locked_on.isoformat(),
        "advisories": [advisory.model_dump() for advisory in card.advisories],
    }


def _table(cards: list[Release], default: str) -> Table:
    table = Table(caption="Default: the engine setting of group_data/all.py")
    for heading in ("release", "default", "CUDA", "driver", "advisories", "most fixed by"):
        table.add_column(heading)
    for card in cards:
        fix = fixed_by(card)
        table.add_row(
            card.release,
            "default" if card.release == default else "",
            card.cuda or "none (CPU)",
            f">= {card.driver_floor}" if card.driver_floor else "-",
            str(len(card.advisories)),
            f"{fix.release}: {fix.count}" if fix else "-",
        )
    return table


def _advisory_table(card: Release) -> Table:
    table = Table(title=f"{card.release}: open advisories", title_justify="left")
    for heading in ("advisory", "fixed in", "what"):
        table.add_column(heading)
    for advisory in card.advisories:
        table.add_row(advisory.id, advisory.fixed_in or "no release", advisory.summary)
    return table
