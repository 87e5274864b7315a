"""Rollouts through three boxes behind a front, under load: what becomes of every request.

An independent client asks the front for streams and for whole answers, and writes down each; its
account is held against the front's own log. One story in the order of this file.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.load import Asked, Client, load, summary
from fortyninety.checkout import ROOT
from lab import hosts
from lab.hosts import LabHost
from tests.lab.converged_hosts import start_converged
from tests.lab.deploys import deploy, write_inventory
from tests.lab.key_holder import add_key

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

# The last host of the lab is the front.
FLEET = """
from lab.inventory import inventory
hosts_ = inventory()
boxes = [(name, {**data, "engine_arguments": SETTINGS}) for name, data in hosts_[:-1]]
boxes = [(name, {**data, "gateway": True}) for name, data in boxes]
front = [(name, {**data, "roles": ["gateway"]}) for name, data in hosts_[-1:]]
del hosts_
"""
FIRST = ()
SECOND = ("--max-logprobs=7",)
# It parses, and the engine ends with it as it starts.
BROKEN = ("--max-logprobs=7", "--tokenizer=/nonexistent")
THIRD = ("--max-logprobs=9",)
# One box at a time, each watched for some seconds.
POLICY = ("--batch", "1", "--soak", "10")


@pytest.fixture(scope="module")
def boxes(lab: None) -> list[LabHost]:
    """Three boxes with a card each, converged."""
    del lab
    return start_converged(3)


@pytest.fixture(scope="module")
def front(boxes: list[LabHost]) -> LabHost:
    """A host without cards before them."""
    return hosts.up(len(boxes) + 1, cards="none")[-1]


@pytest.fixture(scope="module")
def inventory(front: LabHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their inventory, deployed from."""
    del front
    path = Path(write_inventory(tmp_path_factory.mktemp("rollout"), settings(FIRST)))
    ran = deploy(inventory=str(path))
    assert ran.exit_code == 0, ran.output
    return path


@pytest.fixture(scope="module")
def client(boxes: list[LabHost], front: LabHost, inventory: Path) -> Client:
    """Somebody with a key, who asks the front for the boxes' model."""
    authority = inventory.with_name(f"{inventory.stem}.authority") / "authority.pem"
    believed = ssl.create_default_context(cafile=str(authority))
    secret = add_key(str(inventory), "ada", host=front.name)
    model = boxes[0].choice.model.repository
    return Client(f"https://{front.address}", believed, secret, model, tokens=32)


def settings(arguments: Sequence[str]) -> str:
    return FLEET.replace("SETTINGS", repr(list(arguments)))


def command(inventory: Path, *arguments: str) -> list[str]:
    words = ["rollout", str(inventory), "--yes", "--json", *POLICY, *arguments]
    return [sys.executable, "-m", "fortyninety", *words]


def roll_out(inventory: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run it to its end; its exit code and its result."""
    ran = subprocess.run(
        command(inventory, *arguments),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    page = json.loads(ran.stdout or "{}")
    assert page.get("result"), ran.stdout + ran.stderr
    return ran.returncode, page["result"]


@contextmanager
def asked_meanwhile(client: Client, front: LabHost) -> Iterator[list[Asked]]:
    """Streams and single requests, again and again: none fails, and the front says so too."""
    journal = "journalctl -u fortyninety-front -o cat --no-pager"
    cursor = front.ssh(f"{journal} -n 0 --show-cursor", check=True).stdout.split("cursor: ")[1]
    with load(client, streams=2, singles=2) as asked:
        yield asked
    found = summary(asked)
    assert found["whole"] == found["requests"] > 0, found
    log = front.ssh(f"{journal} --after-cursor '{cursor.strip()}'", check=True).stdout
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert [line for line in lines if line["key"] == "ada" and line["status"] != 200] == []
    assert sum(line["key"] == "ada" for line in lines) == found["requests"]


def has(box: LabHost, words: Sequence[str]) -> bool:
    """Whether what the box is to run has these words."""
    line = box.ssh("systemctl cat vllm.service", check=True).stdout
    return all(word in line for word in words)


def drained(boxes: Sequence[LabHost]) -> list[str]:
    return [
        box.name
        for box in boxes
        if box.ssh("test -e /var/lib/fortyninety/drained.json").returncode == 0
    ]


def test_a_new_flag_reaches_every_box_and_no_request_fails(
    boxes: list[LabHost], front: LabHost, inventory: Path, client: Client
) -> None:
    inventory.write_text(settings(SECOND))
    with asked_meanwhile(client, front):
        code, result = roll_out(inventory)
    assert code == 0, result
    assert {each["phase"] for each in result["units"]} == {"done"}
    assert all(has(box, SECOND) for box in boxes) and drained(boxes) == []


def test_a_broken_canary_stops_it_with_what_served_before_on_every_box(
    boxes: list[LabHost], front: LabHost, inventory: Path, client: Client
) -> None:
    inventory.write_text(settings(BROKEN))
    with asked_meanwhile(client, front):
        code, result = roll_out(inventory)
    assert code == 1, result
    phases = [each["phase"] for each in result["units"]]
    assert phases == ["failed-restored", "prepared", "prepared"]
    assert all(has(box, SECOND) and not has(box, BROKEN) for box in boxes)
    assert drained(boxes) == []


def test_a_killed_rollout_is_gone_on_with(
    boxes: list[LabHost], front: LabHost, inventory: Path, client: Client
) -> None:
    inventory.write_text(settings(THIRD))
    with asked_meanwhile(client, front):
        rollout = killed_in("changing", inventory)
        # Its deploy goes on to its end, which is waited for.
        code, result = roll_out(inventory, "--resume", rollout)
    assert code == 0, result
    assert all(has(box, THIRD) for box in boxes) and drained(boxes) == []


def killed_in(event: str, inventory: Path) -> str:
    """Begin a rollout and kill its controller as that happens first; the rollout's id."""
    folder = inventory.with_name(f"{inventory.stem}.rollouts")
    known = set(folder.glob("*"))
    with subprocess.Popen(
        command(inventory),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        while process.poll() is None:
            for new in set(folder.glob("*")) - known:
                events = new / "events.jsonl"
                if events.exists() and f'"{event}"' in events.read_text():
                    process.send_signal(signal.SIGKILL)
                    return new.name
            time.sleep(0.2)
    raise AssertionError(f"it ended before {event}")
