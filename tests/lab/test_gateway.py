"""A box that lets people in who have a key, over restarts of its engine, and nobody else."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from cryptography import x509

from fortyninety.gateway.authority import authority_in, issue, names_of
from lab import hosts, stages
from lab.hosts import LabHost
from lab.tiny_model.text import SENTENCE
from tests.lab.deploys import LAB_INVENTORY, deploy, deploy_killed_in, host_tests, write_inventory
from tests.lab.flood import flooded
from tests.lab.gateway_state import (
    ASKED,
    cached,
    certificate,
    counted,
    most_memory,
    served_by,
    wait_until_port_is,
)
from tests.lab.key_holder import KeyHolder, Stream, add_key, ask_over, failed
from tests.unit.gateway.page_examples import PAGES_MODEL, environment, examples, printed_by

pytestmark = pytest.mark.lab

WITH_GATEWAY = """
from lab.inventory import inventory
lab = [(name, {**data, "gateway": True}) for name, data in inventory()]
"""
FOLDER = "/etc/fortyninety/gateway"
UNIT = "fortyninety-gateway.service"
MAIN_PROCESS = f"systemctl show --property=MainPID {UNIT}"
PUT = f"cat >{FOLDER}/server.pem && systemctl reload {UNIT}"
# Everything of it on a host, and of its account.
LEFT = (
    f"ls -d {FOLDER} /etc/systemd/system/{UNIT} /etc/systemd/system/*/{UNIT} "
    "/run/fortyninety-gateway 2>/dev/null; "
    "! getent passwd fortyninety-gateway >/dev/null || "
    "find / -xdev ! -path '/proc/*' \\( -user fortyninety-gateway -o -group fortyninety-gateway \\)"
)
# Who is let in, to what, over which TLS and port, and what is kept of it: all wrong at once.
CONFIGURATION = r"""
s|path_of_GET path -m str|path_of_GET path -m str /metrics|
s|ssl-min-ver TLSv1.2|ssl-min-ver TLSv1.0|
s|^    ssl-default-bind-ciphers.*|    ssl-default-bind-ciphers ALL:@SECLEVEL=0|
/unless { var(txn.entry) -m found }/d
s|"time":"%Tl"|"time":"%Tl","prompt":"x"|
0,/^    bind 0.0.0.0:443/s|^\(    bind 0.0.0.0:\)443\(.*\)|&\n\19999\2|
"""
# The host tests that each of these is named by, and how.
NAMED = {
    "test_nobody_is_let_in_without_a_key": "without a key {",
    "test_no_old_tls_is_spoken": "TLS 1.1 is spoken",
    "test_the_certificate_is_the_boxs_and_lasts": "the certificate is for another.example",
    "test_its_files_are_read_by_nobody_else": "644 root:fortyninety-gateway",
    "test_only_the_apis_own_paths_are_let_through": "/metrics is let through",
    "test_it_has_in_force_what_is_on_disk": f"has not loaded what is in {FOLDER}",
    "test_no_log_has_more_than_who_asked_and_how_it_ended": "the log has prompt",
    "test_nothing_listens_that_should_not": "9999",
}


QUESTION: Any = [{"role": "user", "content": "Count to three."}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_inventory(tmp_path_factory.mktemp("gateway"), WITH_GATEWAY)


@pytest.fixture(scope="module")
def folder(inventory: str) -> Path:
    """The fleet's authority, beside the inventory."""
    return Path(inventory).with_name("lab.authority")


@pytest.fixture(scope="module")
def gateway(converged: LabHost, inventory: str) -> LabHost:
    """A host with a gateway, on which a deploy would change nothing."""
    ran = deploy(inventory=inventory)
    assert ran.exit_code == 0, ran.output
    return converged


@pytest.fixture(scope="module")
def ada(gateway: LabHost, inventory: str, folder: Path) -> KeyHolder:
    """Somebody whose key stays."""
    return KeyHolder(gateway, folder / "authority.pem", add_key(inventory, "ada"))


def test_a_second_deploy_changes_nothing(gateway: LabHost, inventory: str) -> None:
    del gateway
    again = deploy(inventory=inventory)
    assert (again.exit_code, again.changed) == (0, {}), again.output
    found = host_tests("-k", "gateway or tenants", inventory=inventory)
    assert found.exit_code == 0, found.output


def test_who_has_a_key_is_answered_and_nobody_else(
    gateway: LabHost, folder: Path, ada: KeyHolder
) -> None:
    models = ada.get("/v1/models").json()
    assert [each["id"] for each in models["data"]] == [ada.model]
    answer = ada.complete()
    assert answer.status_code == 200 and answer.json()["usage"]["completion_tokens"] == 8
    events = ada.chat(max_tokens=16)
    assert len(events) > 8 and events[-1] == "data: [DONE]", events
    for path in ("/metrics", "/v1/../metrics", "/v1/models/../../metrics", "/tokenize"):
        assert ada.get(path).status_code == 404, path
    stranger = KeyHolder(gateway, folder / "authority.pem", None)
    assert stranger.get("/v1/models").status_code == 401
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"https://{gateway.address}/v1/models")


def test_a_revoked_key_ends_and_streams_go_on(
    gateway: LabHost, inventory: str, folder: Path, ada: KeyHolder
) -> None:
    bob = KeyHolder(gateway, folder / "authority.pem", add_key(inventory, "bob"))
    streams = Stream(), Stream()
    tokens = longest_answer(ada)
    with ThreadPoolExecutor(2) as pool:
        reading = [
            pool.submit(who.stream, stream, tokens)
            for who, stream in zip((ada, bob), streams, strict=True)
        ]
        try:
            assert all(stream.began.wait(60) for stream in streams)
            ran = stages.fortyninety("key", "revoke", inventory, "bob")
            assert ran.returncode == 0, ran.stderr
            refused = bob.get("/v1/models")
            assert refused.status_code == 401, refused.text
            until_more_comes(streams)
        finally:
            for stream in streams:
                stream.enough.set()
        assert not any(each.result().is_whole for each in reading), "they ended too early to tell"
    assert bob.complete().status_code == 401
    assert ada.complete().status_code == 200


def test_a_restart_of_the_gateway_cuts_no_stream(gateway: LabHost, ada: KeyHolder) -> None:
    began = time.monotonic()
    assert ada.complete(32).status_code == 200
    # Some seconds, of the thirty that it may take.
    tokens = max(64, int(5 * 32 / (time.monotonic() - began)))
    stream, before = Stream(), gateway.ssh(MAIN_PROCESS, check=True).stdout
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(ada.stream, stream, tokens)
        assert stream.began.wait(60) and not stream.ended
        gateway.ssh(f"systemctl restart {UNIT}", check=True)
        assert reading.result(60).is_whole, stream.events[-3:]
    assert gateway.ssh(MAIN_PROCESS, check=True).stdout != before
    assert ada.complete().status_code == 200


def longest_answer(holder: KeyHolder) -> int:
    """The most tokens of an answer, for minutes: streams of it are not read to their end."""
    (model,) = holder.get("/v1/models").json()["data"]
    return int(model["max_model_len"]) - 100


def until_more_comes(streams: Sequence[Stream], events: int = 50) -> None:
    """Wait until each stream has so many more events than now."""
    wanted = [len(stream.events) + events for stream in streams]
    deadline = time.monotonic() + 60
    while any(len(each.events) < enough for each, enough in zip(streams, wanted, strict=True)):
        assert time.monotonic() < deadline, "a stream does not go on"
        time.sleep(0.1)


def test_a_tenant_learns_nothing_of_what_another_asked(
    gateway: LabHost, inventory: str, folder: Path, ada: KeyHolder
) -> None:
    eve = KeyHolder(gateway, folder / "authority.pem", add_key(inventory, "eve", tenant="eve"))
    first, second = (" ".join(f"{word} {number}" for number in range(150)) for word in "ab")
    taken = counted(gateway, 'fortyninety_tenant_prompt_tokens_total{tenant="eve"}')

    assert cached(gateway, ada, first) == 0
    assert (hits := cached(gateway, ada, first)) > 100
    assert cached(gateway, eve, first) == 0
    # Hers from the request before: a salt of her own changes nothing, and neither does one of both.
    assert cached(gateway, eve, first, cache_salt="0123456789abcdef") == hits
    assert cached(gateway, ada, second, cache_salt="0123456789abcdef") == 0
    assert cached(gateway, eve, second, cache_salt="0123456789abcdef") == 0
    assert cached(gateway, ada, second) > 100

    taken = counted(gateway, 'fortyninety_tenant_prompt_tokens_total{tenant="eve"}') - taken
    assert taken > 3 * hits


def test_the_pages_examples_work(ada: KeyHolder, folder: Path, tmp_path: Path) -> None:
    variables = environment(ada.base_url, ada.secret, folder / "authority.pem")
    (lines,) = (each.replace(PAGES_MODEL, ada.model) for each in examples("curl"))
    printed = printed_by(["bash", "-ec", lines], variables, tmp_path)
    assert f'"id":"{ada.model}"' in printed and printed.endswith("data: [DONE]\n\n"), printed
    stream, own_file = examples("python")
    assert SENTENCE in printed_by([sys.executable, "-c", stream], variables, tmp_path)
    del variables["SSL_CERT_FILE"]
    assert printed_by([sys.executable, "-c", own_file], variables, tmp_path) == f"{ada.model}\n"


def test_openai_does_what_the_page_says(
    gateway: LabHost, inventory: str, folder: Path, ada: KeyHolder
) -> None:
    client, asked = ada.by_openai(), {"model": ada.model, "messages": QUESTION}
    with client.chat.completions.create(**asked, stream=True) as stream:
        parts = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
    assert len(parts) > 8 and SENTENCE in "".join(parts), parts
    # What is offered reaches the engine; it calls nothing until its arguments say how to read one.
    answer = client.chat.completions.create(**asked, tools=[TOOL], tool_choice="none")
    assert SENTENCE in (answer.choices[0].message.content or "")
    with pytest.raises(openai.BadRequestError, match="--tool-call-parser"):
        client.chat.completions.create(**asked, tools=[TOOL], tool_choice="required")

    with pytest.raises(openai.NotFoundError, match="`none` does not exist"):
        client.chat.completions.create(model="none", messages=QUESTION)
    with pytest.raises(openai.NotFoundError) as unknown:
        client.embeddings.create(model=ada.model, input="x")
    assert unknown.value.code == "unknown_url"
    with pytest.raises(openai.AuthenticationError) as refused:
        ada.by_openai(api_key=f"fn90-{'x' * 43}").models.list()
    assert refused.value.code == "invalid_api_key"
    carl = KeyHolder(
        gateway, folder / "authority.pem", add_key(inventory, "carl", per_minute=1)
    ).by_openai()
    assert [model.id for model in carl.models.list()] == [ada.model]
    with pytest.raises(openai.RateLimitError) as many:
        carl.models.list()
    assert many.value.code == "rate_limit_exceeded"
    assert many.value.response.headers["retry-after"] == "60"


@pytest.mark.parametrize("count", [40, pytest.param(200, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize(
    "how",
    ["systemctl restart vllm", "systemctl kill --kill-whom=main --signal=KILL vllm"],
    ids=["restarted", "killed"],
)
def test_no_request_is_lost_over_a_restart_of_the_engine(
    gateway: LabHost, ada: KeyHolder, how: str, count: int
) -> None:
    before = gateway.ssh("systemctl show -P InvocationID vllm", check=True).stdout
    began = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask_over, ada, count, began)
        assert began.wait(60)
        gateway.ssh(how, check=True)
        outcomes = asking.result()
    # Where all was answered sooner, systemd has yet to start it again.
    deadline = time.monotonic() + 120
    while gateway.ssh("systemctl show -P InvocationID vllm", check=True).stdout == before:
        assert time.monotonic() < deadline, "the engine was not restarted"
        time.sleep(0.5)
    if "KILL" in how:
        # What has begun cannot be sent again.
        outcomes = [each for each in outcomes if each.whole or not each.had_first_byte]
    assert failed(outcomes) == []


@pytest.mark.exhaustive  # that known clients have room is in tests/unit/gateway/test_refused.py
def test_ten_thousand_connections_keep_nobody_out_who_had_a_key(
    gateway: LabHost, ada: KeyHolder
) -> None:
    before = gateway.ssh("systemctl show -P InvocationID vllm", check=True).stdout
    assert ada.complete().status_code == 200
    asked = counted(gateway, ASKED)
    with flooded(gateway.address, 10_000) as flood, ThreadPoolExecutor(20) as pool:
        answers = [each.status_code for each in pool.map(lambda _: ada.complete(1), range(100))]
        memory = most_memory(gateway)
    assert answers == [200] * 100
    assert flood["in all"]["refused"] > 0, flood
    # The flood had nothing that the engine was asked for.
    probes = 2
    assert 100 <= counted(gateway, ASKED) - asked <= 100 + probes
    assert gateway.ssh("systemctl show -P InvocationID vllm", check=True).stdout == before
    assert memory < 10**9, memory


def test_what_is_broken_is_named_and_put_right(
    gateway: LabHost, inventory: str, folder: Path, ada: KeyHolder
) -> None:
    expired = certificate(folder, gateway.name, gateway.address, days_ago=365)
    gateway.ssh(PUT, input_text=expired, check=True)
    found = host_tests("-k", "certificate_is_the_boxs", inventory=inventory)
    assert found.exit_code == 1 and "the certificate ends on" in found.output, found.output
    with pytest.raises(httpx.ConnectError, match="certificate has expired"):
        KeyHolder(gateway, folder / "authority.pem", None).get("/v1/models")

    gateway.ssh(f"sed -i -f - {FOLDER}/haproxy.cfg", input_text=CONFIGURATION, check=True)
    gateway.ssh(PUT, input_text=certificate(folder, "another.example"), check=True)
    gateway.ssh(f"cd {FOLDER} && chmod 644 server.pem && echo '# changed 1' >keys.map", check=True)
    found = host_tests("-k", "gateway or nothing_listens", inventory=inventory)
    missed = [
        name
        for name, says in NAMED.items()
        if not any(name in line for line in found.output.splitlines() if "FAILED" in line)
        or says not in found.output
    ]
    assert not missed, (missed, found.output)

    ran = deploy(inventory=inventory)
    assert ran.exit_code == 0, ran.output
    # What was logged stays, and whoever reads logs reads it.
    gateway.ssh("journalctl --quiet --rotate && journalctl --quiet --vacuum-size=1K", check=True)
    found = host_tests("-k", "gateway or nothing_listens", inventory=inventory)
    assert found.exit_code == 0, found.output
    assert ada.complete().status_code == 200
    again = deploy(inventory=inventory)
    assert (again.exit_code, again.changed) == (0, {}), again.output


@pytest.mark.exhaustive  # when one is replaced, and by what, is in tests/unit/gateway
def test_certificates_are_replaced_while_a_stream_goes_on(
    gateway: LabHost, inventory: str, folder: Path, ada: KeyHolder, tmp_path: Path
) -> None:
    names = sorted(names_of(served_by(gateway)))
    gateway.ssh(PUT, input_text=certificate(folder, *names, days_ago=44), check=True)
    assert deploy(inventory=inventory).changed == {}
    gateway.ssh(PUT, input_text=certificate(folder, *names, days_ago=46), check=True)
    old, stream = served_by(gateway), Stream()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(ada.stream, stream, longest_answer(ada))
        try:
            assert stream.began.wait(60)
            ran = deploy(inventory=inventory)
            until_more_comes([stream])
        finally:
            stream.enough.set()
        assert not reading.result().is_whole, "it ended too early to tell"
    assert "Gateway | Give it a certificate" in ran.changed, ran.output
    assert served_by(gateway) != old

    public = authority_in(tmp_path / "public", "public", datetime.now(UTC))
    file = tmp_path / "llm.pem"
    shutil.copy(Path(inventory).with_name("lab.keys.json"), tmp_path)
    theirs = write_inventory(
        tmp_path, WITH_GATEWAY.replace("True}", f'True, "gateway_certificate": {str(file)!r}}}')
    )
    for _ in range(2):
        file.write_text(issue(public, names, datetime.now(UTC)))
        ran = deploy(inventory=theirs)
        assert ran.exit_code == 0, ran.output
        assert served_by(gateway) == x509.load_pem_x509_certificate(file.read_bytes())
    believer = KeyHolder(gateway, tmp_path / "public/authority.pem", ada.secret)
    assert believer.complete().status_code == 200
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        KeyHolder(gateway, folder / "authority.pem", ada.secret).get("/v1/models")
    assert deploy(inventory=inventory).exit_code == 0
    assert ada.complete().status_code == 200


@pytest.mark.exhaustive  # the unit is enabled: the host tests above see it
def test_it_serves_again_after_a_boot(gateway: LabHost, ada: KeyHolder) -> None:
    gateway.reboot()
    wait_until_port_is(gateway, is_open=True)
    assert ada.complete().status_code == 200


def test_without_the_setting_nothing_of_it_stays(gateway: LabHost) -> None:
    ran = deploy()
    assert ran.exit_code == 0, ran.output
    assert "Gateway | Remove a gateway that is not wanted" in ran.changed, ran.changed
    assert gateway.ssh(LEFT).stdout == ""
    wait_until_port_is(gateway, is_open=False)
    again = deploy()
    assert (again.exit_code, again.changed) == (0, {}), again.output
    shown = stages.fortyninety("drift", LAB_INVENTORY)
    assert (shown.returncode, shown.stdout) == (0, "lab1: up to date\n"), shown.stderr


@pytest.mark.exhaustive  # a deploy that ends begins where this one does
@pytest.mark.parametrize(
    "operation",
    ["Give it a certificate", "Give it the keys", "Write its configuration", "Run what is on disk"],
)
def test_a_deploy_that_was_killed_is_gone_on_with(
    converged: LabHost, inventory: str, folder: Path, ada: KeyHolder, operation: str
) -> None:
    assert deploy().exit_code == 0
    deploy_killed_in(f"Gateway | {operation}", inventory=inventory)
    ran = deploy(inventory=inventory)
    assert ran.exit_code == 0, ran.output
    again = deploy(inventory=inventory)
    assert (again.exit_code, again.changed) == (0, {}), again.output
    assert ada.complete().status_code == 200


@pytest.mark.exhaustive  # what a reset takes of a host is compared with a bare one elsewhere
def test_a_reset_takes_all_of_it(converged: LabHost, inventory: str, shared: list[LabHost]) -> None:
    assert deploy(inventory=inventory).exit_code == 0
    try:
        ran = stages.fortyninety("reset", inventory, "--limit", "lab1", "--yes", "--json")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert json.loads(ran.stdout)["result"]["hosts"][0]["error"] is None
        assert converged.ssh(LEFT).stdout == ""
        left = converged.ssh(
            "getent passwd fortyninety-gateway; getent group fortyninety-gateway; "
            "dpkg-query -W -f '${Status}' haproxy | grep ' installed'; "
            "ls /etc/haproxy /etc/systemd/system/haproxy.service 2>/dev/null"
        )
        assert left.stdout == ""
    finally:
        # The next module wants one that serves.
        hosts.down()
        shared.clear()
