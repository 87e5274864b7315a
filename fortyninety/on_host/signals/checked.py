"""Say when `fortyninety check --record` last looked at this box, and how its tests ended."""

from fortyninety.on_host.signals.box import moment, noted
from fortyninety.on_host.signals.metrics import Samples

# What a whole check left, and what one did that left some tests out.
CHECKED = {
    "whole": "/var/lib/fortyninety/checked.json",
    "partial": "/var/lib/fortyninety/checked-in-part.json",
}
OUTCOMES = ("passed", "failed", "skipped")
MOST_TESTS = 100_000


def read_checked(samples: Samples, paths: dict[str, str] = CHECKED) -> None:
    """What the files say; nothing where nobody had it recorded. Raises ValueError."""
    for kind, path in paths.items():
        found = noted(path)
        if found is None:
            continue
        at, counts = moment(found.get("at")), [found.get(each) for each in OUTCOMES]
        if at is None or not all(type(each) is int and 0 <= each <= MOST_TESTS for each in counts):
            raise ValueError(f"{path} is not what a check writes; check again with --record")
        samples.add("check_timestamp_seconds", at, kind)
        for outcome, count in zip(OUTCOMES, counts, strict=True):
            samples.add("check_tests", count, kind, outcome)  # type: ignore[arg-type]
