"""That nobody reads what is secret: not in a unit, a list of processes, a log, or a file."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from testinfra.host import Host

from fortyninety.settings.model import Settings
from tests.host.inventory_bridge import Box, run_with_input
from tests.host.live_process import SERVICE
from tests.host.on_host import read

# Where operators, deploys and programs put their keys.
PLACES = (
    "/etc",
    "/opt",
    "/root",
    "/home",
    "/usr/local",
    "/var/cache/vllm",
    "/var/lib/vllm",
    "/var/lib/fortyninety",
    "/var/tmp",
    "/tmp",
    "/run/fortyninety",
)
UNITS = (SERVICE, "fortyninety-power-limit.service", "fortyninety-cell-firewall.service")

# A secret by its form or by its name, as journalctl's regular expressions have it.
LOGGED = (
    r"\bhf_[A-Za-z0-9]{16,}|\bsk-[A-Za-z0-9_-]{16,}|Bearer [A-Za-z0-9._~+/-]{12,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|(TOKEN|SECRET|PASSWORD|API_KEY)=[^\s/*]|--api-key[= '\",]+[^\s/*'\"]"
    r"|api_key['\"]?[=:] ?\[?['\"][^'\"*]"
)

# Where a text that comes on standard input is: in files, in the journal, in what runs.
SEARCH = """
read -r token
printf '%s\\n' "$token" | grep -rlF --exclude-dir=uv --exclude-dir=pip -f - {places} 2>/dev/null
journalctl --boot --output=cat --no-pager | grep -qFf /dev/fd/3 3<<END && echo the journal
$token
END
ps -eo args= | grep -qFf /dev/fd/3 3<<END && echo the list of processes
$token
END
true
"""


@pytest.fixture(scope="session")
def findings(host: Host, settings: Settings) -> dict[str, list[str]]:
    """Where something looks like a secret that others could read."""
    places = dict.fromkeys([*PLACES, settings.install_directory])
    found: dict[str, list[str]] = read(host, "secrets", *places, "--", *UNITS)
    return found


def test_no_secret_is_in_a_unit(findings: dict[str, list[str]]) -> None:
    """Every account of the host may read units, and `systemctl show` prints them."""
    found = sorted({*findings["show"], *findings["unit"]})
    assert not found, (
        f"{'; '.join(found)}; expected no secret there. Take it out, use LoadCredential=, and "
        "replace the secret: it has been seen"
    )


def test_no_secret_is_in_the_list_of_processes(findings: dict[str, list[str]]) -> None:
    """Every account of the host may list the processes with their arguments."""
    found = findings["arguments"]
    assert not found, (
        f"{'; '.join(found)}; expected no secret there. Give it in a file, and replace the "
        "secret: it has been seen"
    )


def test_no_secret_is_in_the_engines_environment(findings: dict[str, list[str]]) -> None:
    """What is in the environment goes into crash reports, and to everything the engine starts."""
    found = findings["environment"]
    assert not found, (
        f"{'; '.join(found)}; expected no secret there. Look at `systemctl cat {SERVICE}`; use "
        "LoadCredential="
    )


def test_no_key_file_is_readable_by_others(findings: dict[str, list[str]]) -> None:
    """A key that the service's account can read is the first thing that is taken."""
    found = findings["files"]
    assert not found, (
        f"{'; '.join(found)}; expected mode 600. `chmod 600` it, and replace the key if others "
        "have accounts on the host"
    )


def test_no_secret_is_in_the_journal(host: Host) -> None:
    """Logs are copied, shipped and kept for years."""
    asked = host.run(
        f"timeout 60 journalctl --boot --quiet --no-pager --output=short --lines=200000 "
        f"--grep={shlex.quote(LOGGED)} | head -n 20"
    )
    # Where, and not what.
    lines = [" ".join(line.split()[:5]) for line in asked.stdout.splitlines()]
    assert not lines, (
        f"{len(lines)} lines of the journal look like secrets, the first at {lines[0]}; expected "
        "none. Look at them with `journalctl --grep`; replace the secret, and vacuum the journal"
    )


def test_the_hubs_token_is_nowhere_on_the_host(box: Box, host: Host, settings: Settings) -> None:
    """It opens all that is its owner's at the hub; the host needs it only while it fetches."""
    if settings.hub_token is None:
        return
    if (token := _token(settings.hub_token)) is None:
        pytest.skip(f"{settings.hub_token} is not here: there is nothing to look for")
    places = f"{settings.install_directory}/bin /etc/systemd /root /etc/environment /var/log"
    # The token comes on standard input, and stays in the shell: arguments are seen by everybody.
    searched = run_with_input(box, SEARCH.format(places=places), f"{token}\n")
    assert searched.returncode == 0 and not searched.stdout.strip(), (
        f"the hub's token is in {searched.stdout.strip()}; expected it nowhere on the host. "
        "Remove it there, and replace it at the hub"
    )


def _token(where: str) -> str | None:
    """The token itself, from where the settings say that it is on this machine."""
    kind, _, place = where.partition(":")
    if kind == "environment":
        return os.environ.get(place)
    path = Path(place).expanduser()
    return path.read_text().strip() if path.is_file() else None


def test_the_accounts_files_are_as_private_as_they_should_be(host: Host) -> None:
    """Hashes of passwords that everybody reads are guessed at leisure."""
    shown = host.check_output(
        "stat --format='%a %U %n' /etc/shadow /etc/gshadow /root /etc/ssh/ssh_host_*_key "
        "/etc/sudoers 2>/dev/null || true"
    )
    wrong = [line for line in shown.splitlines() if line.split()[0].rjust(3, "0")[-1] != "0"]
    assert not wrong, (
        f"{'; '.join(wrong)} (mode, owner, file); expected nothing for others. `chmod o=` them"
    )


def test_nobody_else_is_root(host: Host) -> None:
    """A second account with user id 0 is root with another password."""
    names = host.check_output("getent passwd | awk -F: '$3 == 0 { print $1 }'").split()
    assert names == ["root"], f"{', '.join(names)} have user id 0; expected root alone. Remove it"


def test_the_units_can_be_changed_by_root_alone(host: Host) -> None:
    """Who writes a unit runs what he likes as root, at the next start."""
    found = host.check_output(
        "find /etc/systemd/system /etc/apt /etc/modprobe.d /etc/fortyninety /etc/sudoers.d "
        "\\( ! -user root -o -perm -o+w -o -perm -g+w \\) ! -type l "
        "-printf '%M %u:%g %p\\n' 2>/dev/null | head -n 10"
    )
    assert not found, (
        f"others than root can write what root runs:\n{found}\nexpected root alone. "
        "`chown root:root` and `chmod go-w` them"
    )
