"""Read again what is large only where it was written since, or was last read six days ago.

Hashing a checkpoint and an environment takes a host seconds to a minute; how their files are
(owner, mode, inode, size, when each was written and changed) takes a fraction of one, and the
kernel sets the last of these at every write. So this machine keeps, in the user's cache, what a
whole reading found, beside a digest of how the files were before it. A disk that returns other
bytes than were written changes none of that: therefore the six days, and not seven, so that who
checks every week reads every week.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from testinfra.host import Host

from fortyninety.text.private_file import ReadableByOthers, read_private
from tests.host.bounded_ssh import HASHING_SECONDS
from tests.host.on_host import read, source

SIX_DAYS = 6 * 24 * 3600
# In bytes; a checkpoint's 50 files and an environment's 400 packages take some 50,000.
LARGEST = 4 * 2**20
_STAT = "stat --format='%f %n %u %g %i %s %.Y %.Z'"


def below(*folders: str) -> str:
    """The command that says how everything below folders is, and what links there lead to."""
    found = f"find -P {' '.join(map(quote, folders))}"
    return (
        rf"{found} -printf '%p %#m %U %G %i %s %T@ %C@ %l\0' | LC_ALL=C sort --zero-terminated; "
        f"{found} -type l -exec {_STAT} --dereference {{}} +"
    )


def of_packages(names: Sequence[str]) -> str:
    """The command that says how all files of these packages are, and what dpkg knows of them.

    dpkg has the digests of configuration files in `status`, of others in `md5sums`, and names where
    a file was diverted to in a line of its own. Folders, which others write to as well, have modes
    that begin with 4. Files may be missing, which xargs says by 123 and stat by 1.
    """
    words = " ".join(map(quote, names))
    md5sums = " ".join(f"{quote(name)}.md5sums {quote(name)}:*.md5sums" for name in names)
    return (
        f"LC_ALL=C dpkg-query --listfiles {words} | sed 's/^[^/].* to: //; /^$/d' | "
        rf"{{ xargs --delimiter='\n' {_STAT} 2>&1 || [ $? = 123 ]; }} | "
        "grep --text --invert-match ^4; cd /var/lib/dpkg/info; "
        f"{_STAT} ../status ../diversions; {_STAT} {md5sums} || [ $? = 1 ]"
    )


@dataclass(frozen=True)
class ReadBefore:
    """What was found on one host by whole readings, kept in a file of this machine.

    What was read from `oldest` on is good enough, in seconds since 1970. `tell` is called with the
    time of a reading that is given for an answer.
    """

    host: Host
    path: Path
    oldest: float
    tell: Callable[[float], None]

    def folder(self, folder: str, program: str, right: Callable[[Any], bool]) -> Any:
        """What a program of `on_host` says of all that is below a folder."""
        return self.unless_unchanged(
            f"{source(program)}\0{folder}",
            below(folder),
            lambda: read(self.host, program, folder, seconds=HASHING_SECONDS),
            right,
        )

    def unless_unchanged(
        self, what: str, state_command: str, read: Callable[[], Any], right: Callable[[Any], bool]
    ) -> Any:
        """What `read` finds, or found before where nothing was written since.

        `what` has all that the answer depends on but the files, such as the command that reads
        them. An answer is kept only where it is `right`: what is wrong is read every time.
        """
        key = hashlib.sha256(what.encode()).hexdigest()
        # Before it is read, so that what is written meanwhile is read the next time.
        state, began = self._state(state_command), time.time()
        kept = self._kept().get(key)
        if kept is not None and kept["state"] == state and kept["at"] >= self.oldest:
            self.tell(kept["at"])
            return kept["answer"]
        found = read()
        if state is not None and right(found):
            self._keep({**self._kept(), key: {"state": state, "at": began, "answer": found}})
        return found

    def _state(self, command: str) -> str | None:
        """The digest of all that the command says; None where a part of it fails."""
        shell = "bash -o errexit -o pipefail -c"
        asked = f"{shell} {quote(f'nice {shell} {quote(command)} 2>&1 | sha256sum')}"
        ran = self.host.run(asked, seconds=HASHING_SECONDS)
        found = re.match(r"[0-9a-f]{64}\b", ran.stdout) if ran.rc == 0 else None
        return found[0] if found else None

    def _kept(self) -> dict[str, dict[str, Any]]:
        """What was found lately; nothing where others may read or write the file."""
        try:
            page = json.loads(read_private(self.path, LARGEST))
        except (OSError, ValueError, ReadableByOthers):
            return {}
        now = time.time()
        return {
            key: each
            for key, each in (page.items() if isinstance(page, dict) else ())
            if isinstance(each, dict)
            and each.keys() == {"state", "at", "answer"}
            and isinstance(each["at"], float)
            and 0 <= now - each["at"] < SIX_DAYS
        }

    def _keep(self, page: dict[str, dict[str, Any]]) -> None:
        """Keep a page, by one rename; none where this user has no room for it."""
        written = self.path.with_suffix(f".{os.getpid()}")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            written.touch(mode=0o600)
            written.write_text(json.dumps(page))
            written.replace(self.path)
        except OSError:
            with contextlib.suppress(OSError):
                written.unlink(missing_ok=True)


def path_for(name: str, address: str) -> Path:
    """Where this user keeps what was read of a host."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    digest = hashlib.sha256(f"{name}\0{address}".encode()).hexdigest()
    return Path(cache) / "fortyninety" / "checked" / f"{digest[:32]}.json"
