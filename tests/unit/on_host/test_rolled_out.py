"""What a box says of itself while a rollout goes through its fleet."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fortyninety.checkout import PACKAGE

PROGRAM = PACKAGE / "on_host" / "rolled_out.py"
ENGINE = """# HELP vllm:num_requests_running Number of requests.
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 40.0
vllm:request_success_total{engine="0",finished_reason="error",model_name="m"} 2.0
vllm:inter_token_latency_seconds_sum{engine="0",model_name="m"} 12.5
vllm:inter_token_latency_seconds_count{engine="0",model_name="m"} 500.0
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="100"} 1.0
"""
GATEWAY = """haproxy_backend_http_responses_total{proxy="taken",code="2xx"} 90
haproxy_backend_http_responses_total{proxy="taken",code="5xx"} 3
haproxy_backend_http_responses_total{proxy="probe",code="5xx"} 700
"""
UNIT = """[Service]
Environment=FORTYNINETY_CONFIGURATION=0123456789abcdef
ExecStart=/opt/fortyninety/engines/x/bin/vllm serve \\
    --served-model-name tiny \\
    --port 8000
"""


@contextmanager
def answering(pages: dict[str, str], drip: float = 0) -> Iterator[int]:
    """A server on loopback with these pages, byte by byte where it is to drip."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path)
            self.send_response(404 if page is None else 200)
            self.end_headers()
            for byte in (page or "").encode() if drip else ():
                self.wfile.write(bytes([byte]))
                time.sleep(drip)
            if not drip:
                self.wfile.write((page or "").encode())

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def run(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def look(folder: Path, *more: object) -> dict[str, Any]:
    return run("look", "--record", folder / "note.json", "--unit", folder / "unit", *more)


def test_the_engine_and_the_gateway_are_counted(tmp_path: Path) -> None:
    (tmp_path / "unit").write_text(UNIT)
    with (
        answering({"/metrics": ENGINE}) as engine,
        answering({"/metrics": GATEWAY, "/ready": "ready"}) as status,
    ):
        found = look(tmp_path, "--port", engine, "--status-port", status)
    assert found == {
        "noted": None,
        "configuration": "0123456789abcdef",
        "model": "tiny",
        "engine": {
            "running": 3,
            "waiting": 1,
            "requests": 42,
            "failed": 2,
            "gaps": 500,
            "gap_seconds": 12.5,
            "kv_used": 0.25,
            "kv_tokens": 1600,
        },
        "gateway": {"ready": True, "requests": 93, "failed": 3},
    }


def test_the_names_of_an_older_release_count_as_well(tmp_path: Path) -> None:
    older = ENGINE.replace("inter_token_latency", "time_per_output_token").replace(
        "kv_cache_usage", "gpu_cache_usage"
    )
    with answering({"/metrics": older}) as engine:
        found = look(tmp_path, "--port", engine)["engine"]
    assert (found["gaps"], found["kv_used"]) == (500, 0.25)


@pytest.mark.parametrize("value", ["NaN", "inf", "-1", "1e400", "x", "1" * 400])
def test_no_number_that_an_engine_makes_up_is_handed_on(tmp_path: Path, value: str) -> None:
    hostile = ENGINE.replace(" 3.0", f" {value}").replace('"100"', '"9999999999999"')
    with answering({"/metrics": hostile}) as engine:
        found = look(tmp_path, "--port", engine)["engine"]
    assert (found["running"], found["kv_tokens"]) == (0, 0)


def test_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    with answering({}) as nothing:
        found = look(tmp_path, "--port", nothing, "--status-port", nothing)
    assert found["engine"] is None and found["configuration"] is None
    assert found["gateway"] == {"ready": False, "requests": 0, "failed": 0}


def test_an_answer_that_drips_is_none(tmp_path: Path) -> None:
    with answering({"/metrics": ENGINE * 10}, drip=0.1) as engine:
        assert look(tmp_path, "--port", engine)["engine"] is None


def test_a_note_is_whole_and_replaces_the_one_before(tmp_path: Path) -> None:
    record = tmp_path / "lib" / "note.json"
    for text in ("first", "second"):
        assert run("note", "--record", record, "--text", text) == {"error": None}
    assert record.read_text() == "second"
    assert [path.name for path in record.parent.iterdir()] == ["note.json"]
    assert run("look", "--record", record, "--unit", tmp_path / "unit")["noted"] == "second"


def test_a_note_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = run("note", "--record", tmp_path / "file" / "note.json", "--text", "x")
    assert "file" in found["error"]
