"""Verify the checkpoints on hosts, and pin their lists of files: `fortyninety snapshot`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fortyninety import deadlines
from fortyninety.cli.each_host import connected_hosts, on_each_host, print_lines, with_engine
from fortyninety.cli.envelope import print_envelope
from fortyninety.cli.exit_codes import DONE, NO, NO_ANSWER
from fortyninety.cli.options import AS_JSON, INVENTORY, LIMIT
from fortyninety.facts.answers import number_of, read_object, texts_of
from fortyninety.model.file_list import (
    COPY,
    PROVED,
    FileListUnknown,
    hub_file_list,
    keep_file_list,
    list_digest,
    refuse_name,
)
from fortyninety.model.folder_list import folder_files, manifest_files
from fortyninety.model.hub import shown_address
from fortyninety.model.token import NoToken, token_at
from fortyninety.on_host.checkpoint_files import File, FileListError
from fortyninety.on_host.snapshot.places import MANIFEST
from fortyninety.on_host.snapshot.reader import PUBLIC_HUB
from fortyninety.plan.paths import plan_paths
from fortyninety.plan.programs import SNAPSHOT, run_from_input
from fortyninety.problem import Problem
from fortyninety.releases.release import load_release
from fortyninety.settings.defaults import default_setting
from fortyninety.survey.records import Unreadable, quoted

if TYPE_CHECKING:
    from pyinfra.api.host import Host

    from fortyninety.settings.model import Settings


@dataclass
class Verdict:
    """What hashing a host's snapshot again found. Sizes are bytes, `seconds` the host's own."""

    host: str
    folder: str
    whole: bool
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


@click.group()
def snapshot() -> None:
    """The checkpoints on the hosts.

    \b
    Examples:
      fortyninety snapshot verify inventory/prod.py
      fortyninety snapshot pin ORGANISATION/NAME COMMIT
    """


@snapshot.command()
@INVENTORY
@LIMIT
@AS_JSON
def verify(inventory: str, limit: tuple[str, ...], as_json: bool) -> None:
    """Hash every byte of the snapshots on the hosts of INVENTORY again.

    All hosts do so at once. The manifest is compared with the list of the checkpoint's files that
    this machine has. A wrong snapshot is marked, and the next deploy repairs it; nothing else
    changes. Ends with 0 where everything is right, 1 where something is wrong, 2 where a host or
    the inventory could not be used.

    \b
    Examples:
      fortyninety snapshot verify inventory/prod.py
      fortyninety snapshot verify inventory/prod.py --limit gpu-box-2
      fortyninety snapshot verify inventory/prod.py --json | jq '.result.hosts[].wrong'
    """
    with connected_hosts(inventory, limit) as connected:
        with_engine(connected)
        if sys.stderr.isatty():
            click.echo(f"hashing on {len(connected.settings)} hosts ...", err=True)
        expected = {host: _expected_manifest(each) for host, each in connected.settings.items()}
        found = on_each_host(connected, lambda host, each: _verify(host, each, expected[host]))
    verdicts = [each for each in found.values() if isinstance(each, Verdict)]
    lost = [each for each in found.values() if isinstance(each, Problem)]
    problems = [*connected.problems, *lost]
    code = DONE if all(each.whole for each in verdicts) else NO
    if problems:
        code = NO_ANSWER
    if as_json:
        print_envelope(code, {"hosts": [asdict(each) for each in verdicts]}, problems)
    else:
        print_lines((line for each in verdicts for line in _lines(each)), problems)
    sys.exit(code)


@snapshot.command()
@click.argument("repository")
@click.argument("revision")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A copy that you trust; every file is hashed.",
)
@click.option(
    "--manifest",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A published snapshot's .fortyninety-manifest that you trust.",
)
@click.option(
    "--replace", "replacing", is_flag=True, help="Keep it in place of another list of the commit."
)
@click.option(
    "--proved",
    "only_proved",
    is_flag=True,
    help="Refuse a list that is only the hub's word: git must prove it.",
)
@AS_JSON
def pin(
    repository: str,
    revision: str,
    *,
    folder: Path | None,
    manifest: Path | None,
    replacing: bool,
    only_proved: bool,
    as_json: bool,
) -> None:
    """Keep the list of files that a checkpoint must match on every host.

    It is of REPOSITORY at the commit REVISION. A deploy does this itself where the hub answers over
    https. Elsewhere give a copy or a manifest that you trust; with neither, the hub of
    group_data/all.py is asked now, and git proves from the commit's name that its answer is right.
    Where git cannot (it is not installed, or the hub speaks no git), the list is the hub's word,
    and the output says so; with --proved that ends with 1.

    Ends with 0 where the list is kept, 1 where it is not, such as where another list of the commit
    is known.

    \b
    Examples:
      fortyninety snapshot pin ORGANISATION/NAME COMMIT --folder /mnt/disk/NAME
      fortyninety snapshot pin ORGANISATION/NAME COMMIT --manifest ./.fortyninety-manifest
      fortyninety snapshot pin ORGANISATION/NAME COMMIT --proved
      fortyninety snapshot pin ORGANISATION/NAME COMMIT --json | jq -r .result.digest
    """
    if folder is not None and manifest is not None:
        raise click.UsageError("give --folder or --manifest, not both")
    if only_proved and (folder is not None or manifest is not None):
        raise click.UsageError("--proved is for the hub's list; give no --folder and no --manifest")
    try:
        # Before a folder is hashed for minutes.
        refuse_name(repository, revision)
    except FileListUnknown as error:
        raise click.UsageError(str(error)) from error
    try:
        files, source, proof = _trusted_files(repository, revision, folder, manifest)
        if only_proved and proof != PROVED:
            raise FileListUnknown(
                f"the list of {repository} at {revision} is not proved by the commit, it is {proof}"
            )
        kept = keep_file_list(repository, revision, files, source, proof=proof, replacing=replacing)
    except (FileListUnknown, FileListError, NoToken, OSError) as error:
        raise click.ClickException(str(error)) from error
    result = {
        "repository": repository,
        "revision": revision,
        "source": source,
        "proof": proof,
        "files": len(files),
        "bytes": sum(file.size for file in files),
        "digest": list_digest(files),
        "kept": str(kept),
    }
    if as_json:
        print_envelope(DONE, result)
        return
    click.echo(
        f"{repository} at {revision}: {result['files']} files, {result['bytes']} bytes, from "
        f"{source} ({proof})\ndigest of the list: {result['digest']}\nkept in {kept}"
    )


def _trusted_files(
    repository: str, revision: str, folder: Path | None, manifest: Path | None
) -> tuple[tuple[File, ...], str, str]:
    """The files, where they are from, and how they were obtained."""
    if folder is not None:
        return folder_files(folder), f"the folder {folder}", COPY
    if manifest is not None:
        return manifest_files(manifest), f"the manifest {manifest}", COPY
    endpoint = default_setting("hub_endpoint")
    token = token_at(default_setting("hub_token"))
    found = hub_file_list(repository, revision, endpoint, token)
    return found.files, shown_address(endpoint or PUBLIC_HUB), found.proof


def _expected_manifest(settings: Settings) -> str | FileListUnknown:
    """The SHA-256 that the manifest must have, or why this machine does not know it."""
    from fortyninety.fleet.checkpoints import files_of  # noqa: PLC0415

    try:
        files = files_of(settings)
    except NoToken as none:
        return FileListUnknown(f"the files are not known here: hub_token is {none}")
    return files if isinstance(files, FileListUnknown) else list_digest(files)


def _verify(host: Host, settings: Settings, expected: str | FileListUnknown) -> Verdict | Problem:
    """The verdict, or the problem of a host that was lost meanwhile."""
    from fortyninety.connection.shell import HostLost, shell  # noqa: PLC0415

    folder = plan_paths(settings, load_release(settings.engine)).snapshot
    manifest = shlex.quote(f"{folder}/{MANIFEST}")
    try:
        # The program comes from here: a host may have that of an older deploy.
        command, archive = run_from_input(SNAPSHOT, "verify", folder)
        output = shell(host, command, timeout=deadlines.SNAPSHOT, _stdin=archive)
        found = shell(host, f"sha256sum <{manifest}").stdout
    except HostLost as lost:
        return Problem(
            host=host.name, subject="connection", found=f"lost: {lost}", expected="a verdict"
        )
    if not output.stdout_lines:
        said = " ".join(output.stderr.split()) or "the host gave no answer"
        return Verdict(host.name, folder, whole=False, wrong=[said])
    try:
        verdict = read_verdict(host.name, folder, output.stdout_lines[-1])
    except Unreadable as unreadable:
        return Verdict(host.name, folder, whole=False, wrong=[f"the host answered {unreadable}"])
    if isinstance(expected, FileListUnknown):
        verdict.wrong.append(f"compared with its own manifest only: {expected}")
    elif found.split()[:1] != [expected]:
        verdict.wrong.append(
            f"{MANIFEST} does not match the checkpoint's list of files; expected SHA-256 {expected}"
        )
    return replace(verdict, whole=not verdict.wrong)


def read_verdict(host: str, folder: str, line: str) -> Verdict:
    """Check and return the verdict of the program on a host. Raises Unreadable."""
    found = read_object(line)
    seconds, wrong = found.get("seconds"), texts_of(found, "wrong")
    if "wrong" not in found:
        raise Unreadable(f"{quoted(line)}; expected a list of what is wrong")
    if not isinstance(seconds, int | float) or not 0 <= seconds < 10**9:
        raise Unreadable(f"{quoted(repr(seconds))} seconds; expected a number")
    return Verdict(
        host,
        folder,
        whole=not wrong,
        files=number_of(found, "files"),
        bytes=number_of(found, "bytes"),
        seconds=seconds,
        wrong=wrong,
    )


def _lines(verdict: Verdict) -> Iterator[str]:
    if verdict.whole:
        rate = verdict.bytes / 1e9 / max(verdict.seconds, 0.001)
        yield (
            f"{verdict.host}: {click.style('whole', fg='green')}, {verdict.files} files, "
            f"{verdict.bytes / 1e9:.2f} GB in {verdict.seconds:.1f} s, {rate:.2f} GB/s"
        )
        return
    yield f"{verdict.host}: {click.style('wrong', fg='red')} in {verdict.folder}"
    for each in verdict.wrong:
        yield f"  {each}"
