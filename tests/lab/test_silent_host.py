"""A host whose packets are dropped in the middle of a stage: it alone fails, in time and by name.

On two hosts that serve. In each case something is undone on both, so that the stage has work to do;
the cable of one of them is pulled while it does, and plugged in again afterwards.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import pytest

from lab.commands import run
from lab.hosts import LabHost
from lab.network import bridge
from lab.stages import operations
from tests.lab.deploys import deploy, deploying

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive, pytest.mark.usefixtures("lab")]

# Ten seconds at most until it is asked for a sign of life, thirty for it to answer, and the rest
# for the controller, which shares the machine with the hosts.
NOTICED_SECONDS = 60


@dataclass(frozen=True)
class Case:
    """What gives a stage something to do, and how many seconds into its operation it is cut."""

    operation: str
    undo: str
    after: float


CASES = {
    # Somebody else uses apt, and is waited for.
    "apt": Case(
        "Python | Install Python 3.11",
        "DEBIAN_FRONTEND=noninteractive apt-get -qq -y purge python3.11-dev >/dev/null; "
        "systemd-run --quiet --unit=busy-apt python3 -c 'import fcntl, time; "
        'file = open("/var/lib/dpkg/lock-frontend", "w"); fcntl.lockf(file, fcntl.LOCK_EX); '
        "time.sleep(90)'",
        3,
    ),
    "environment": Case(
        "Engine | Install vLLM", "rm -f /opt/fortyninety/engines/*/.fortyninety-complete", 4
    ),
    "snapshot": Case("Ahead | Begin to fetch", "rm -rf /srv/models", 0.3),
    "service": Case(
        "Service | Run what the unit on disk says",
        "echo '# another' >>/etc/systemd/system/vllm.service",
        0.3,
    ),
    "gate": Case("Gate | Wait for a completion", "systemctl restart vllm.service", 3),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_silent_host_fails_alone_within_a_minute_and_the_other_is_deployed_to(
    pair: list[LabHost], case: Case
) -> None:
    silent, other = pair
    for host in pair:
        host.ssh(case.undo)
    link = bridge.link_name(silent.name)
    seen: list[str] = []
    cut_at = noticed_after = 0.0
    try:
        with deploying() as process:
            assert process.stdout is not None
            for operation in operations(process.stdout, seen):
                if f"{operation.stage} | {operation.name}".startswith(case.operation):
                    break
            time.sleep(case.after)
            run(["ip", "link", "set", link, "down"])
            cut_at = time.monotonic()
            for line in process.stdout:
                seen.append(line)
                if not noticed_after and re.search(rf"{silent.name}.*was silent for", line):
                    noticed_after = time.monotonic() - cut_at
    finally:
        run(["ip", "link", "set", link, "up"])
    output = "".join(seen)
    assert process.returncode != 0, output
    assert 0 < noticed_after < NOTICED_SECONDS, output
    assert "Traceback" not in output, output
    assert not re.search(rf"\\[{other.name}\\].*Error", output), output
    # The other one was gone on with to the end.
    ran = deploy("--limit", other.name)
    assert (ran.exit_code, ran.changed) == (0, {}), ran.output
    silent.ssh("systemctl stop busy-apt.service")
    ran = deploy()
    assert ran.exit_code == 0, ran.output
