"""The configuration as HAProxy itself reads it, and what it must have."""

from __future__ import annotations

import subprocess
from pathlib import Path, PurePosixPath

import pytest

from fortyninety.gateway.configuration import Gateway, haproxy_configuration
from fortyninety.gateway.policy import Policy
from fortyninety.gateway.quoting import haproxy_word
from fortyninety.releases.release import known_releases, load_release
from lab.hub.certificate import make_certificate
from tests.unit.gateway.running_gateway import HAPROXY, needs_haproxy


def configuration(folder: Path, release: str = "0.32.0", model: str = "org/model") -> str:
    return haproxy_configuration(
        Gateway(
            addresses=("0.0.0.0:443", "[::]:443"),
            certificate=PurePosixPath(folder / "server.pem"),
            key_map=PurePosixPath(folder / "keys.map"),
            drained_map=PurePosixPath(folder / "drained.map"),
            control_socket=PurePosixPath(folder / "control.sock"),
            status_address="127.0.0.1:8404",
            engine_address="127.0.0.1:8000",
            model_name=model,
            paths=load_release(release).api_paths,
            policy=Policy(),
        )
    )


@needs_haproxy
@pytest.mark.parametrize("release", known_releases())
def test_haproxy_takes_it(tmp_path: Path, release: str) -> None:
    assert HAPROXY is not None
    make_certificate(tmp_path / "server.pem", "127.0.0.1")
    (tmp_path / "keys.map").touch()
    (tmp_path / "drained.map").touch()
    file = tmp_path / "haproxy.cfg"
    file.write_text(configuration(tmp_path, release, model='it\'s "a" $HOME %[date] \\ #model'))
    ran = subprocess.run(
        [HAPROXY, "-c", "-f", str(file)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "WARNING" not in ran.stdout + ran.stderr


def test_events_of_a_stream_leave_at_once() -> None:
    # Without it they come in bursts, which no test without a clock sees.
    assert "    option http-no-delay\n" in configuration(Path("/etc/gateway"))


def test_an_engine_that_did_not_answer_is_asked_again_soon() -> None:
    # Else its fronts do without a box for a minute after each restart, which takes one to see.
    assert "check inter 60s downinter 5s " in configuration(Path("/etc/gateway"))


def test_every_release_lets_the_same_be_asked() -> None:
    for name in known_releases():
        assert load_release(name).api_paths == {
            "/v1/models": "GET",
            "/v1/completions": "POST",
            "/v1/chat/completions": "POST",
        }


def test_the_largest_request_can_be_sent_again() -> None:
    for policy in (Policy(), Policy(max_body_kib=16_384, max_header_bytes=16_384)):
        # HAProxy keeps 1 KiB of a buffer for what it adds.
        assert policy.buffer_bytes - 1024 > policy.max_body_bytes + policy.max_header_bytes


def test_a_word_has_no_line_end() -> None:
    assert haproxy_word("it's") == "'it'\\''s'"
    for text in ("a\nb", "a\rb", "a\0b"):
        with pytest.raises(ValueError, match="control characters"):
            haproxy_word(text)
