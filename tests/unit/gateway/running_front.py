"""A front that runs, before gateways that run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from fortyninety.gateway.authority import FOR_FRONTS, Authority, issue
from fortyninety.gateway.front_configuration import Box, Front, front_configuration
from fortyninety.gateway.policy import Policy
from fortyninety.releases.release import load_release
from tests.unit.gateway.fake_engine import LOOPBACK
from tests.unit.gateway.running_gateway import RunningGateway, RunningHaproxy
from tests.unit.gateway.waiting import until

FRONT = "front-1"


class RunningFront(RunningHaproxy):
    """The front of some boxes."""

    def __init__(
        self,
        folder: Path,
        authority: Authority,
        boxes: Sequence[RunningGateway],
        pages: Mapping[str, str] | None = None,
        **policy: int,
    ) -> None:
        super().__init__(folder, authority, FRONT)
        self.boxes = boxes
        identity, believed = folder / "identity.pem", folder / "authority.pem"
        identity.write_text(issue(authority, [FRONT], datetime.now(UTC), FOR_FRONTS))
        believed.write_text(authority.pem)
        self.configuration.write_text(
            front_configuration(
                Front(
                    addresses=(f"{LOOPBACK}:{self.port}",),
                    certificate=PurePosixPath(self.certificate),
                    identity=PurePosixPath(identity),
                    authority=PurePosixPath(believed),
                    key_map=PurePosixPath(self.key_map),
                    control_socket=PurePosixPath(self.control),
                    status_address=f"{LOOPBACK}:{self.status_port}",
                    boxes=tuple(Box(each.name, f"{LOOPBACK}:{each.fronts_port}") for each in boxes),
                    paths=load_release("0.32.0").api_paths,
                    policy=Policy(**policy),
                    monitor=None if pages is None else self.shown_to_monitor(pages),
                )
            )
        )

    def state_of(self, box: RunningGateway) -> str:
        """What the front says of a box: UP, DOWN, DRAIN."""
        return self.figure("boxes", box.name, "status").split()[0]

    @contextmanager
    def nothing_left(self) -> Iterator[None]:
        """End once no more is under way than before: a client may have its answer sooner.

        Where a box has what is about to end, the next request of its conversation goes elsewhere.
        """
        before = self._under_way()
        yield
        until(lambda: self._under_way() <= before)

    def _under_way(self) -> int:
        """How many requests its boxes have."""
        return sum(int(self.figure("boxes", box.name, "scur")) for box in self.boxes)
