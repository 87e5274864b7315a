"""Boxes behind a front that are rolled out to while a client asks the front.

The client writes down what became of each request; its account is held against the front's log.
"""

from __future__ import annotations

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.load import Asked, Client, load, summary
from fortyninety.checkout import ROOT
from lab import hosts
from lab.hosts import LabHost
from tests.lab.converged_hosts import start_converged
from tests.lab.deploys import deploy, write_inventory
from tests.lab.key_holder import add_key

# The last host of the lab is the front, and the first ones may be members of a cell.
SETTINGS = """
from lab.inventory import inventory
hosts_ = inventory()
boxes = [
    (name, {**data, "gateway": True, **({"cell": "a"} if number < MEMBERS else {}), **DATA})
    for number, (name, data) in enumerate(hosts_[:-1])
]
front = [(name, {**data, "roles": ["gateway"]}) for name, data in hosts_[-1:]]
del hosts_
"""
# One box at a time, each watched for some seconds.
POLICY = ("--batch", "1", "--soak", "5")
COUNTERS = (
    "python3 -c 'import urllib.request as by; "
    'print(by.urlopen("http://127.0.0.1:8405/metrics").read().decode())\''
)
ANSWERS = re.compile(
    r'^haproxy_frontend_http_responses_total{proxy="api",code="(\w+)"} (\d+)$', re.M
)
UNIT, STARTED = "/etc/systemd/system/vllm.service", "/run/fortyninety/vllm.service"
EVENTS = "*/events.jsonl"
DRAINED = "/var/lib/fortyninety/drained.json"


@dataclass(frozen=True)
class Fleet:
    """Some boxes, the front before them, their inventory's file and who asks."""

    boxes: list[LabHost]
    front: LabHost
    inventory: Path
    client: Client
    # How many of the boxes, the first ones, are a cell.
    members: int = 0
    # What is rolled out is this tree's.
    project: Path = ROOT

    @classmethod
    def started(cls, count: int, folder: Path, *, members: int = 0, **data: Any) -> Fleet:
        """So many converged boxes with a card each, and a host without cards before them."""
        boxes = start_converged(count)
        front = hosts.up(count + 1, cards="none")[-1]
        inventory = Path(write_inventory(folder, text_of(members, data)))
        ran = deploy(inventory=str(inventory))
        assert ran.exit_code == 0, ran.output
        believed = ssl.create_default_context(cafile=str(authority_of(inventory)))
        secret = add_key(str(inventory), "ada", host=front.name)
        model = boxes[0].choice.model.repository
        client = Client(f"https://{front.address}", believed, secret, model, tokens=32)
        return cls(boxes, front, inventory, client, members)

    @property
    def authority(self) -> Path:
        """The certificate that signed the front's."""
        return authority_of(self.inventory)

    def is_to_have(self, **data: Any) -> None:
        """Write these settings of the boxes into the inventory."""
        self.inventory.write_text(text_of(self.members, data))

    def roll_out(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Roll it out, to the end; its exit code and its result."""
        return self.ended("rollout", *POLICY, "--yes", *arguments)

    def ended(self, name: str, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run a command to its end; its exit code and its result."""
        ran = self.run(name, *arguments)
        page = json.loads(ran.stdout or "{}")
        assert page.get("result"), ran.stdout + ran.stderr
        return ran.returncode, page["result"]

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, however it ends."""
        return subprocess.run(
            self.command(name, *arguments),
            cwd=self.project,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def environment(self) -> dict[str, str]:
        """That of its commands."""
        return {**os.environ, "PYTHONPATH": str(self.project), "PYTHONUNBUFFERED": "1"}

    def command(self, name: str, *arguments: str) -> list[str]:
        """A command over the inventory that answers in JSON."""
        words = [name, str(self.inventory), "--json", *arguments]
        return [sys.executable, "-m", "fortyninety", *words]

    @contextmanager
    def asked_meanwhile(self, *, streams: int = 2, singles: int = 1) -> Iterator[list[Asked]]:
        """Streams and single requests, again and again: none fails, and the front says so too."""
        before = self.answers()
        began = time.monotonic()
        with load(self.client, streams=streams, singles=singles) as asked:
            yield asked
        found = {**summary(asked), "seconds": round(time.monotonic() - began)}
        print(json.dumps(found))
        assert found["whole"] == found["requests"] > 0, found
        new = self.answers() - before
        assert new == {"2xx": found["requests"]}, new

    def answers(self) -> Counter[str]:
        """How many answers the front counts, by the first digit of their status.

        Not by its log: HAProxy drops a line where whoever reads them is late, and counts that.
        """
        page = self.front.ssh(COUNTERS, check=True).stdout
        return Counter({code: int(value) for code, value in ANSWERS.findall(page)})

    def drained(self) -> list[str]:
        """The boxes that take no requests."""
        return [box.name for box in self.boxes if box.ssh(f"test -e {DRAINED}").returncode == 0]

    def having(self, word: str) -> list[str]:
        """The boxes whose engine is to run with this word, and was started with what is on disk."""
        asked = (
            f"grep -qe {word} {UNIT} && "
            f"grep -q $(sed -n 's/^Environment=FORTYNINETY_CONFIGURATION=//p' {UNIT}) {STARTED}"
        )
        return [box.name for box in self.boxes if box.ssh(asked).returncode == 0]

    @contextmanager
    def under_way(self, *arguments: str) -> Iterator[RollingOut]:
        """A rollout that goes on beside what the block does."""
        folder = self.inventory.with_name(f"{self.inventory.stem}.rollouts")
        known = {path: len(path.read_text()) for path in folder.glob(EVENTS)}
        with subprocess.Popen(
            self.command("rollout", *POLICY, "--yes", *arguments),
            cwd=self.project,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            yield RollingOut(process, folder, known)


@dataclass(frozen=True)
class RollingOut:
    """A rollout under way; `known` is how long the files of events were before it."""

    process: subprocess.Popen[str]
    folder: Path
    known: dict[Path, int]

    def reached(self, *words: str) -> str:
        """Wait until an event says all of these; the rollout's id."""
        while True:
            over = self.process.poll() is not None
            for path in self.folder.glob(EVENTS):
                lines = path.read_text()[self.known.get(path, 0) :].splitlines()
                if any(all(f'"{word}"' in line for word in words) for line in lines):
                    return path.parent.name
            assert not over, f"it ended before {words}"
            time.sleep(0.2)

    def killed(self, *words: str) -> str:
        """Kill its controller without warning as an event says these; the rollout's id."""
        rollout = self.reached(*words)
        self.process.send_signal(signal.SIGKILL)
        return rollout

    def ended(self) -> tuple[int, dict[str, Any]]:
        """Wait for its end; its exit code and its result."""
        said, _ = self.process.communicate()
        result: dict[str, Any] = json.loads(said)["result"]
        return self.process.returncode, result


def authority_of(inventory: Path) -> Path:
    """The certificate of an inventory's authority."""
    return inventory.with_name(f"{inventory.stem}.authority") / "authority.pem"


def text_of(members: int, data: dict[str, Any]) -> str:
    """The inventory's text with these settings of its boxes, so many of which are a cell."""
    return SETTINGS.replace("MEMBERS", str(members)).replace("DATA", repr(data))


def phases(result: dict[str, Any]) -> list[str]:
    """The phase of each unit at the end."""
    return [each["phase"] for each in result["units"]]
