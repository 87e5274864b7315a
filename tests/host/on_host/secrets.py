"""Secrets that others could read: in units, in arguments, in environments, in files.

What looks like a secret is told by its name or by its form, never shown: a finding says where.
Prints findings by kind. Arguments: the folders to look through, then `--` and units.
"""

import json
import os
import re
import stat
import subprocess
import sys

NAME = r"[A-Z0-9_]*(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIALS?)"
# Variables that say where a secret is, or how many of something there are.
HARMLESS = re.compile(
    r"^(?:Load|Import)Credential\w*$|Encrypted$|(_FILE|_PATH|_DIR|_DIRECTORY|_LIMIT|_COUNT|TOKENS|TOKENIZERS?_\w*)$"
)
VARIABLE = re.compile(
    rf"(?<![A-Za-z0-9_])({NAME}[A-Z0-9_]*)=(?![\s\"']*(?:/|$|%|\[|None\b|\*))[\"']?\S", re.I
)
OPTION = re.compile(r"(--[a-z-]*(?:api-key|token|password|secret))(?:[= ]|\0)(?!/)\S", re.I)
FORM = re.compile(
    r"\bhf_[A-Za-z0-9]{16,}|\bsk-[A-Za-z0-9_-]{16,}|\bnvapi-[A-Za-z0-9_-]{16,}|\bAKIA[A-Z0-9]{16}\b|"
    r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bBearer [A-Za-z0-9._~+/-]{12,}|://[^/\s:@]+:[^/\s:@]+@|"
    r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"
)
# Names of files that hold a secret, whatever is in them.
FILE_NAME = re.compile(
    r"(?:^|[._-])(?:api[_-]?keys?|keys?|tokens?|secrets?|passwords?|credentials?)(?:$|[._-])|"
    r"^\.(?:netrc|pgpass|htpasswd|env)$|^id_(?:rsa|ed25519|ecdsa)$|\.(?:key|pem|p12|kdbx)$",
    re.I,
)
# What such a file ends in: a header of some library named for keys is none.
SUFFIXES = {
    *(
        "",
        ".txt",
        ".json",
        ".yaml",
        ".yml",
        ".toml",
        ".ini",
        ".cfg",
        ".env",
        ".key",
        ".pem",
        ".p12",
    ),
    *(".kdbx", ".secret", ".token", ".password", ".bak", ".old", ".orig", ".save"),
}
PUBLIC = re.compile(r"cert|^common-|^authorized_keys|^known_hosts|public", re.I)
# Whose group is that of one service: tests/host/haproxy_files.py, tests/host/test_monitor.py.
OF_A_SERVICE = tuple(f"/etc/fortyninety/{each}/" for each in ("gateway", "front", "monitor"))
# What is shown to everybody who connects, whatever its file is called.
CERTIFICATE = "-----BEGIN CERTIFICATE-----"
LARGEST = 256 * 1024
SHOWN = 10
# Trees of packages' files, of which each is checked against its package elsewhere.
PRUNED = {
    "engines",
    "pythons",
    "tools",
    "site-packages",
    "node_modules",
    "ssl",
    "ca-certificates",
    "uv",
    "pip",
    "cuda",
    "alternatives",
    "pam.d",
    "keyrings",
    "trusted.gpg.d",
    "dpkg",
    "info",
}


def secrets_in(text: str) -> list[str]:
    """What looks like a secret in a text: the name of it, not the thing."""
    found = [match[1] for match in VARIABLE.finditer(text) if not HARMLESS.search(match[1])]
    found += [match[1] for match in OPTION.finditer(text)]
    return found + [match[0][:8] + "..." for match in FORM.finditer(text)]


def run(*command: str) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False
    ).stdout


def reachable(path: str) -> bool:
    """Whether others may go through every folder on the way to the file."""
    folder = os.path.dirname(path)
    while folder != "/":
        if not os.stat(folder).st_mode & stat.S_IXOTH:
            return False
        folder = os.path.dirname(folder)
    return True


def in_files(roots: list[str]) -> list[str]:
    found, seen = [], set()
    for root in roots:
        for where, folders, names in os.walk(root):
            folders[:] = [each for each in folders if each not in PRUNED]
            for name in names:
                path = os.path.join(where, name)
                try:
                    state = os.lstat(path)
                    if not stat.S_ISREG(state.st_mode) or path in seen or state.st_size > LARGEST:
                        continue
                    seen.add(path)
                    named = (
                        bool(FILE_NAME.search(name))
                        and not PUBLIC.search(name)
                        and os.path.splitext(name.lstrip("."))[1].lower() in SUFFIXES
                    )
                    open_to_others = bool(state.st_mode & 0o004)
                    open_to_group = bool(state.st_mode & 0o040) and state.st_gid != 0
                    open_to_group &= not path.startswith(OF_A_SERVICE)
                    if not named and not (open_to_others and reachable(path)):
                        continue
                    if not (open_to_others or (named and open_to_group)):
                        continue
                    with open(path, "rb") as file:
                        text = file.read().decode(errors="replace")
                    what = FORM.search(text)
                    named = named and not text.startswith(CERTIFICATE)
                except OSError:
                    continue
                # What is empty keeps no secret; a name alone does not count for a package's file.
                if what or (named and state.st_size and not run("dpkg-query", "--search", path)):
                    why = f"has {what[0][:8]}..." if what else "is a secret by its name"
                    mode = stat.S_IMODE(state.st_mode)
                    found.append(f"{path} {why} and has mode {mode:o}")
    return found[:SHOWN]


def in_processes() -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid() or int(pid) == os.getppid():
            continue
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().decode(errors="replace")
            with open(f"/proc/{pid}/comm") as file:
                name = file.read().strip()
        except OSError:
            continue
        found += [
            f"{each} in the arguments of {name} ({pid})"
            for each in secrets_in(words.replace("\0", " "))
        ]
    return found


def in_environment(unit: str) -> list[str]:
    group = run("systemctl", "show", "--property=ControlGroup", "--value", unit).strip()
    found = []
    for line in run("cat", f"/sys/fs/cgroup{group}/cgroup.procs").split() if group else []:
        try:
            with open(f"/proc/{line}/environ", "rb") as file:
                text = file.read().decode(errors="replace").replace("\0", "\n")
        except OSError:
            continue
        found += [f"{each} in the environment of process {line}" for each in secrets_in(text)]
    return found


def main() -> None:
    split = sys.argv.index("--")
    roots, units = sys.argv[1:split], sys.argv[split + 1 :]
    shown = {unit: run("systemctl", "show", "--all", unit) for unit in units}
    written = {unit: run("systemctl", "cat", unit) for unit in units}
    print(
        json.dumps(
            {
                "show": [f"{each} in {unit}" for unit in units for each in secrets_in(shown[unit])],
                "unit": [
                    f"{each} in {unit}" for unit in units for each in secrets_in(written[unit])
                ],
                "arguments": in_processes(),
                "environment": [each for unit in units for each in in_environment(unit)],
                "files": in_files(roots),
            }
        )
    )


main()
