"""Count the driver's errors (Xid) in the kernel's log, from where the last reading ended."""

import json
import re

from fortyninety.on_host.signals.ask import ask
from fortyninety.on_host.signals.metrics import Samples

JOURNALCTL = "/usr/bin/journalctl"
PATIENCE = 6.0
MOST = 32 * 1024 * 1024
# Of one reading, of which the latest are looked at: a log that floods is not read for ever.
MOST_LINES = 20_000
MOST_COUNTED = 500

# At the beginning of a line alone, where no process can write.
_XID = re.compile(r"NVRM: Xid \(PCI:([0-9a-fA-F:.]{1,20})\): ([0-9]{1,5})\b", re.ASCII)
_CURSOR = re.compile(r"[A-Za-z0-9=;_-]{1,400}", re.ASCII)


def read_xids(state: dict[str, object], samples: Samples) -> bool:
    """Add the counts, kept in `state` with the cursor; False where the journal says nothing."""
    cursor = state.get("cursor")
    since = [f"--after-cursor={cursor}"] if isinstance(cursor, str) else []
    answer = ask(
        [
            *(JOURNALCTL, "--dmesg", "--boot", "--quiet", "--no-pager", "--output=json"),
            *("--output-fields=MESSAGE", f"--lines={MOST_LINES}", *since),
        ],
        seconds=PATIENCE,
        most=MOST,
    )
    counts = state.get("xids")
    counts = counts if isinstance(counts, dict) else {}
    if answer.state == "answered":
        count_lines(answer.text, state, counts)
    state["xids"] = counts
    for key, found in counts.items():
        pci, _, xid = key.partition(" ")
        if xid:
            samples.add("xid_errors_total", found[0], pci, xid)
    for pci in {key.partition(" ")[0] for key in counts}:
        latest = max(found[1] for key, found in counts.items() if key.startswith(f"{pci} "))
        samples.add("xid_last_timestamp_seconds", latest, pci)
    return answer.state == "answered"


def count_lines(text: str, state: dict[str, object], counts: dict[str, list[float]]) -> None:
    """Count what journalctl printed into `counts`: how many and when last, by card and number."""
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if not isinstance(entry, dict):
            continue
        cursor, message = entry.get("__CURSOR"), entry.get("MESSAGE")
        if isinstance(cursor, str) and _CURSOR.fullmatch(cursor):
            state["cursor"] = cursor
        found = _XID.match(message) if isinstance(message, str) else None
        if found is None:
            continue
        key = f"{found[1].lower()} {found[2]}"
        if key in counts or len(counts) < MOST_COUNTED:
            before = counts.get(key, [0, 0.0])
            moment = str(entry.get("__REALTIME_TIMESTAMP", ""))
            when = int(moment) / 1e6 if moment.isascii() and moment.isdigit() else 0.0
            counts[key] = [before[0] + 1, max(before[1], when)]
