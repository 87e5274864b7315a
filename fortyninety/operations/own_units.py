"""Keep a distribution's own unit from starting, whose package is wanted for another one."""

from __future__ import annotations

from collections.abc import Iterator

from pyinfra import host

from fortyninety.operations.brought import noting_names
from fortyninety.operations.converge import Command, converging
from fortyninety.operations.reasons import differs
from fortyninety.survey.reading import HostReading

NULL = "/dev/null"


@converging
def masked_before(reading: HostReading, mask: str, *, package: str) -> Iterator[Command]:
    """The unit at the path `mask` masked before its package, which would start it, is installed."""
    if reading.installed(package) is not None or reading.files.get(mask) is not None:
        host.noop("the package is there, or its unit is masked")
        return
    differs(f"{mask} is missing: the package would start it")
    # Noted with the package, which a cut may leave out.
    yield f"{noting_names('package', package)} && ln -s {NULL} {mask} && systemctl daemon-reload"
