"""Fetch the key of an apt repository, and trust it only if it is the expected one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pyinfra import host

from fortyninety.deadlines import TOOLS
from fortyninety.operations.converge import Command, converging, within
from fortyninety.operations.files import placing
from fortyninety.operations.reasons import differs
from fortyninety.survey.reading import HostReading


@converging
def trusted(
    reading: HostReading, keyring: str, *, address: str, fingerprint: str
) -> Iterator[Command]:
    """`keyring`, for Signed-By, with the key of full `fingerprint` and no other.

    Fetched from `address` by apt's own means, through whatever proxy the host has, and read by gpg
    before it is put in place: a file that holds another key, or another one besides, is refused and
    nothing is changed.
    """
    if reading.apt.keyring == (fingerprint,):
        host.noop(f"{keyring} holds the key {fingerprint}")
        return
    differs(
        f"{keyring} holds {' '.join(reading.apt.keyring) or 'no key'}; expected {fingerprint} alone"
    )
    yield within(TOOLS, fetching(keyring, address, fingerprint))


def fetching(keyring: str, address: str, fingerprint: str) -> str:
    """A shell script that does so, in a folder of its own that is removed again."""
    where, expected = shlex.quote(address), shlex.quote(fingerprint)
    return f"""
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && export GNUPGHOME="$folder" || exit 1
if ! /usr/lib/apt/apt-helper download-file {where} "$folder/key" >"$folder/said" 2>&1; then
  tail -n 3 "$folder/said" >&2
  echo "the repository's key could not be fetched from "{where} >&2
  exit 1
fi
if grep -q -e '-----BEGIN PGP' "$folder/key"; then
  gpg --batch --quiet --dearmor --output "$folder/keyring" "$folder/key" || exit 1
else
  cp "$folder/key" "$folder/keyring"
fi
found=$(gpg --batch --show-keys --with-colons "$folder/keyring" 2>/dev/null |
  awk -F: '$1 == "pub" {{ key = 1 }} $1 == "fpr" && key {{ print $10; key = 0 }}')
if [ "$found" != {expected} ]; then
  echo "the key at "{where}" is ${{found:-none that gpg can read}};" \\
    "expected "{expected}" alone. Nothing was changed." \\
    "Check nvidia_repository; a mirror that signs by itself needs nvidia_repository_key," \\
    "the full fingerprint of its key" >&2
  exit 1
fi
fetched=$folder
{placing(keyring, 'cat "$fetched/keyring"')}
""".strip()
