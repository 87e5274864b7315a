"""A front that runs, before gateways that run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from fortyninety.gateway.authority import FOR_FRONTS, Authority, issue
from fortyninety.gateway.front_configuration import Box, Front, front_configuration
from fortyninety.gateway.policy import Policy
from fortyninety.releases.release import load_release
from tests.unit.gateway.fake_engine import LOOPBACK
from tests.unit.gateway.running_gateway import RunningGateway, RunningHaproxy

FRONT = "front-1"


class RunningFront(RunningHaproxy):
    """The front of some boxes."""

    def __init__(
        self, folder: Path, authority: Authority, boxes: Sequence[RunningGateway], **policy: int
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
                )
            )
        )

    def state_of(self, box: RunningGateway) -> str:
        """What the front says of a box: UP, DOWN, DRAIN."""
        return self.figure("boxes", box.name, "status").split()[0]
