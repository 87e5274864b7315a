"""What a host says of addresses that it asks, from a process as on a host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from fortyninety.fleet.reached_addresses import address_verdict, asked_addresses
from fortyninety.plan.programs import program
from tests.unit.readings import settings


class Pages(BaseHTTPRequestHandler):
    """A package index that has uv, and a hub without any model."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/simple/uv/" else 404)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        del format, arguments


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of the two."""
    with HTTPServer(("127.0.0.1", 0), Pages) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


def asked(home: Path, *arguments: str, **environment: str) -> str:
    own = {
        key: value
        for key, value in os.environ.items()
        if "proxy" not in key.lower() and not key.startswith(("PIP_", "UV_"))
    }
    ran = subprocess.run(
        [sys.executable, "-", *arguments],
        input=program("reachable.py"),
        capture_output=True,
        text=True,
        env={**own, "HOME": str(home), **environment},
        check=True,
    )
    return ran.stdout


def test_what_answers_and_what_does_not_is_told_apart(
    server: str, tmp_path: Path, closed: int
) -> None:
    gone = f"gone=http://127.0.0.1:{closed}"
    answer = asked(tmp_path, f"index={server}/simple/", f"hub={server}/api/x", gone)
    found = json.loads(answer)
    assert found["index"] == [{"address": f"{server}/simple/", "status": 200, "error": ""}]
    assert found["hub"][0]["status"] == 404
    assert found["gone"][0]["status"] is None and "refused" in found["gone"][0]["error"]
    said, problems = address_verdict("box", settings(), "index", answer)
    assert said == f"{server}/simple/ answers" and problems == ()
    _, (problem,) = address_verdict("box", settings(), "hub", answer)
    assert "answers with 404" in problem.found and "model_revision" in problem.remedy


def test_the_hosts_own_indexes_are_pips_and_uvs_without_their_passwords(
    server: str, tmp_path: Path
) -> None:
    name = server.removeprefix("http://")
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "pip" / "pip.conf").write_text(
        f"[global]\nindex-url = http://user:secret@{name}/simple\n"
    )
    # As an index of uv's, another: without the page of uv.
    answer = asked(tmp_path, "index=", UV_DEFAULT_INDEX=f"{server}/other")
    assert "secret" not in answer
    addresses = [each["address"] for each in json.loads(answer)["index"]]
    assert addresses[1] == f"{server}/other"
    if not Path("/etc/pip.conf").exists():
        assert addresses[0] == f"{server}/simple"
    _, problems = address_verdict("box", settings(), "index", answer)
    assert f"{server}/other, which answers with 404" in problems[-1].found


@pytest.mark.parametrize(
    "answer", ["", "[]", "{}", '{"index": [7]}', '{"index": [{"address": "x", "status": "y"}]}']
)
def test_an_answer_of_another_form_is_a_problem(answer: str) -> None:
    _, (problem,) = address_verdict("box", settings(), "index", answer)
    assert problem.found.startswith("not told")


def test_only_what_a_deploy_fetches_from_is_asked() -> None:
    assert set(asked_addresses(settings())) == {"index", "hub"}
    own = settings(package_index="none", wheel_directory="/srv/wheels", snapshot_source="/mnt/x")
    assert asked_addresses(own) == {}
    mirror = asked_addresses(settings(snapshot_source="http://mirror.example/name"))
    assert mirror["hub"] == "http://mirror.example/name/config.json"
