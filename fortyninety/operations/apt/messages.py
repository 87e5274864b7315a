"""Explain the last words of apt and dpkg, with what an operator can do."""

from __future__ import annotations

import re

# Lines of apt, dpkg and dkms that say why something did not work; the rest of them is progress.
_REASONS = re.compile(r"E: |W: |dpkg: error|Error! |.*No space left on device")
# How many of them are quoted, and how much of each: dpkg repeats itself for every package that
# waits for a broken one, and apt names every key of a signature.
_QUOTED = 4
_LENGTH = 260

# The first pattern that is found says what to do. Their texts are those of apt 2.2 to 3.0, dpkg
# 1.20 to 1.22 and dkms 3.
_REMEDIES = (
    (
        r"No space left on device|enough free space",
        "Make room (`df -h`; `apt-get clean`, old kernels with `apt-get autoremove`), then run "
        "this again: it goes on where dpkg stopped",
    ),
    (
        # gpgv's words, and sqv's (Debian 13).
        r"NO_PUBKEY|EXPKEYSIG|REVKEYSIG|BADSIG|Missing key|is not signed|signature verification",
        "The archive is not signed with a key that its source trusts: compare the key in the "
        "source's Signed-By (/etc/apt/sources.list.d) with the archive's own, and replace neither "
        "before you know which is wrong",
    ),
    (
        r"Unable to locate package linux-headers-|Package linux-headers-\S+ is not available",
        "No archive of the host has headers for the kernel that boots next, so the driver's module "
        "cannot be built for it: install a kernel of the archive (`apt-get install "
        "linux-image-amd64`), or remove that one",
    ),
    (
        r"Bad return status for module build|dkms.*(exit|returned) .*(status|code)|make\.log",
        "The module did not build: the reason is at the end of "
        "/var/lib/dkms/nvidia*/*/build/make.log. Run this again once it is out of the way: dpkg "
        "is repaired first",
    ),
    (
        r"Could not resolve|Could not connect|Unable to connect|Connection (failed|timed out|refus"
        r"ed)|Failed to fetch|No route to host|Temporary failure",
        "Check the host's network, its apt proxy and /etc/apt; nothing was installed from an "
        "archive that did not answer",
    ),
    (
        r"held broken packages|unmet dependencies|held packages were changed",
        "Another package or a pin stands in the way: `apt-cache policy PACKAGE` and `apt-mark "
        "showhold` show which",
    ),
    (
        r"Unable to locate package|has no installation candidate|Version .* was not found",
        "No archive of the host has it: `apt-cache policy` shows what there is",
    ),
    (
        r"Could not get lock|Unable to (acquire|lock)|frontend lock was locked",
        "Another process installs packages: wait until it is done, and never end dpkg by force",
    ),
)


def reasons(output: str) -> list[str]:
    """The lines of apt's output that say why it failed, each once, errors first, a few at most.

    The last lines, where none of them is such a one.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    found = list(dict.fromkeys(line for line in lines if _REASONS.match(line)))
    errors = [line for line in found if not line.startswith("W: ")]
    # A warning says what the errors leave out, such as which key is missing.
    found = [*errors[: _QUOTED - 1], *(line for line in found if line.startswith("W: "))]
    return [
        line if len(line) <= _LENGTH else f"{line[:_LENGTH]}..."
        for line in found[:_QUOTED] or lines[-3:]
    ]


def warnings(output: str) -> list[str]:
    """What apt only warns of, or says of an archive it can do without: each once, a few at most."""
    return [line for line in reasons(output) if line.startswith(("W: ", "E: "))]


def remedy(output: str) -> str:
    """What an operator can do about a failure with this output."""
    for pattern, text in _REMEDIES:
        if re.search(pattern, output):
            return text
    return "Run the same on the host to see all of it, and this again afterwards"


def lock_refused(output: str) -> bool:
    """Whether apt or dpkg gave up because another process holds one of their locks."""
    return bool(re.search(_REMEDIES[-1][0], output))


# apt counts in thousands (its SizeToStr).
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = r"([\d.,]+) ([kMGT]?B)"


def announced_room(output: str) -> tuple[int, int]:
    """Bytes that an installation fetches and adds, as apt-get announces them before it begins.

    "Need to get 12.3 MB/45 MB of archives. After this operation, 67.8 MB of additional disk space
    will be used." What is not said counts as nothing.
    """
    fetched = re.search(rf"Need to get {_SIZE}", output)
    added = re.search(rf"After this operation, {_SIZE} of additional disk space", output)
    return (
        _bytes(fetched[1], fetched[2]) if fetched else 0,
        _bytes(added[1], added[2]) if added else 0,
    )


def _bytes(number: str, unit: str) -> int:
    return round(float(number.replace(",", "")) * _UNITS[unit])
