"""What a client gets."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from testinfra.host import Host

from fortyninety.settings import Settings

pytestmark = pytest.mark.asks

# On the host itself, whose engine listens on loopback alone; a host has python3 and maybe no curl.
ASK = """
import json, sys, urllib.request
url, body = sys.argv[1], sys.argv[2].encode() or None
request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(request, timeout=120).read().decode())
"""


def ask(host: Host, settings: Settings, path: str, body: dict[str, Any] | None = None) -> Any:
    """The engine's JSON answer to a GET, or to a POST of `body`."""
    url = f"http://127.0.0.1:{settings.port}{path}"
    sent = json.dumps(body) if body else ""
    answered = host.run(f"python3 -c {shlex.quote(ASK)} {url} {shlex.quote(sent)}")
    assert answered.rc == 0, (
        f"{url} does not answer: {answered.stderr.strip().splitlines()[-1]}. Look at "
        "`journalctl -u vllm.service`"
    )
    return json.loads(answered.stdout)


def test_the_model_is_listed_under_its_name(host: Host, settings: Settings) -> None:
    """Clients ask by name: under another one they get a 404."""
    served = [each["id"] for each in ask(host, settings, "/v1/models")["data"]]
    assert served == [settings.model_name], f"serves {served}; expected {settings.model_name}"


def test_a_completion_comes_back(host: Host, settings: Settings) -> None:
    """The one proof that it serves: a hung engine still calls itself healthy."""
    answer = ask(
        host,
        settings,
        "/v1/chat/completions",
        {
            "model": settings.model_name,
            "messages": [{"role": "user", "content": "Name three colours."}],
            "max_tokens": 16,
            "temperature": 0,
        },
    )
    usage = answer["usage"]
    assert usage["completion_tokens"] > 0, f"an answer without a token: {answer}"
    assert usage["prompt_tokens"] > 0, f"a prompt without a token: {answer}"


def test_the_engine_listens_where_it_should_and_nowhere_else(
    host: Host, settings: Settings
) -> None:
    """The engine has no access control: on another address it serves whoever finds it."""
    sockets = host.check_output(f"ss -Hltn 'sport = :{settings.port}'").splitlines()
    addresses = {line.split()[3].rpartition(":")[0] for line in sockets}
    assert addresses == {settings.listen_address}, (
        f"port {settings.port} listens on {sorted(addresses) or 'nothing'}; expected "
        f"{settings.listen_address}"
    )
