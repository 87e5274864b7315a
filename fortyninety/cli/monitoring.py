"""Write what a Prometheus needs to watch a fleet: `fortyninety monitoring`."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.errors import NoAnswer
from fortyninety.cli.exit_codes import DONE, NO
from fortyninety.cli.options import AS_JSON, INVENTORY, LIMIT
from fortyninety.cli.replaced_file import replace_file
from fortyninety.gateway.authority import (
    FOR_FRONTS,
    LARGEST,
    MONITOR,
    AuthorityUnusable,
    authority_folder,
    authority_in,
    ends_at,
    issue,
    why_renew,
)
from fortyninety.monitoring.exported import AUTHORITY, IDENTITY, exported_files
from fortyninety.text.printable import printable

_PAGES = re.compile(r"https?://[A-Za-z0-9.:-]{1,200}(?:/[A-Za-z0-9._~/-]{0,500})?", re.ASCII)


@click.group()
def monitoring() -> None:
    """What a Prometheus of your own needs to watch a fleet.

    \b
    Examples:
      fortyninety monitoring export /etc/prometheus/fleet inventory/prod.py
    """


@monitoring.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@INVENTORY
@LIMIT
@click.option("--pages", metavar="URL", help="Where docs/ is, for the links of alerts.")
@AS_JSON
def export(
    directory: Path, inventory: str, limit: tuple[str, ...], pages: str | None, *, as_json: bool
) -> None:
    """Write targets, rules and dashboards for your Prometheus.

    DIRECTORY gets prometheus.yml (a whole configuration, or one to take from), targets.json, rules/
    and dashboards/ (for Grafana), authority.pem, by which boxes are believed, and monitor.pem, a
    certificate with its key, by which they know the monitor: give it to Prometheus' account alone.
    It lasts 90 days, and an export in its second half renews it. What else is in DIRECTORY stays.
    No host is asked.

    Ends with 0 where every box and front can be watched, 1 where one cannot (the others are
    written), 2 where the inventory or DIRECTORY cannot be used.

    \b
    Examples:
      fortyninety monitoring export /etc/prometheus/fleet inventory/prod.py
      fortyninety monitoring export fleet inventory/prod.py --pages https://git.example/4090/docs
      fortyninety monitoring export fleet inventory/prod.py --json | jq .result.files
    """
    if pages is not None and not _PAGES.fullmatch(pages):
        raise click.UsageError(f"--pages is {printable(pages, 40)!r}; expected https://HOST/PATH")
    # Imported when the command runs: pyinfra_cli patches the standard library.
    from fortyninety.fleet.inventory import InventoryUnusable  # noqa: PLC0415
    from fortyninety.fleet.monitoring import watched_boxes  # noqa: PLC0415
    from fortyninety.fleet.quiet import errors_alone  # noqa: PLC0415

    with errors_alone():
        try:
            boxes, problems = watched_boxes(inventory, limit)
        except InventoryUnusable as unusable:
            raise NoAnswer(str(unusable)) from unusable
    if not boxes:
        raise NoAnswer(
            "" if problems else f"{inventory} has no box with an engine, and no front", problems
        )
    try:
        until = _write_identity(directory, Path(inventory))
        files = exported_files(boxes, f"{pages.rstrip('/')}/" if pages else "docs/", until)
        for name, text in files.items():
            replace_file(directory / name, text)
    except OSError as error:
        said = f"{printable(str(directory), 200)}: {error.strerror}"
        raise NoAnswer(f"cannot write to {said}") from error
    except AuthorityUnusable as error:
        raise NoAnswer(str(error)) from error
    names = sorted([*files, AUTHORITY, IDENTITY])
    code = NO if problems else DONE
    if as_json:
        watched = [{"host": box.name, "target": box.target} for box in boxes]
        print_envelope(code, {"files": names, "boxes": watched}, problems)
    else:
        click.echo(f"{len(boxes)} hosts, {len(names)} files in {printable(str(directory), 200)}")
        for problem in problems:
            click.secho(str(problem), fg="red", err=True)
    sys.exit(code)


def _write_identity(directory: Path, inventory: Path) -> int:
    """The certificate and key, kept while they last; until when the certificate is valid.

    Raises OSError, AuthorityUnusable.
    """
    now = datetime.now(UTC)
    authority = authority_in(authority_folder(inventory), inventory.stem, now)
    replace_file(directory / AUTHORITY, authority.pem)
    path = directory / IDENTITY
    try:
        with path.open(encoding="ascii", errors="replace") as stream:
            there = stream.read(LARGEST)
    except FileNotFoundError:
        there = ""
    if why_renew(authority, there, [MONITOR], now, FOR_FRONTS) is not None:
        there = issue(authority, [MONITOR], now, FOR_FRONTS)
        if not path.exists():
            path.touch(mode=0o600)
        replace_file(path, there)
    return ends_at(there)
