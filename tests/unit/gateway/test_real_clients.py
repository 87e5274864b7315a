"""Real clients through the gateway: the openai package, curl, and the examples of the page."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.unit.gateway.conftest import Gateways
from tests.unit.gateway.fake_engine import LOOPBACK, PATIENCE
from tests.unit.gateway.openai_answers import MODEL, WORDS
from tests.unit.gateway.page_examples import environment, examples, printed_by
from tests.unit.gateway.running_gateway import RunningGateway, made_key, needs_haproxy

pytestmark = needs_haproxy

QUESTION: Any = [{"role": "user", "content": "Count to three."}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def client_of(gateway: RunningGateway, secret: str, **more: Any) -> openai.OpenAI:
    """The package's own client, which tries once and believes the fleet's authority alone."""
    values = {
        "http_client": openai.DefaultHttpxClient(verify=gateway.context()),
        "max_retries": 0,
        "timeout": PATIENCE,
    }
    return openai.OpenAI(
        api_key=secret, base_url=f"https://{LOOPBACK}:{gateway.port}/v1", **(values | more)
    )


@pytest.fixture
def secret(gateway: RunningGateway) -> str:
    """A key that the gateway takes."""
    secret, key = made_key("ada")
    gateway.give(key)
    return secret


@pytest.fixture
def client(gateway: RunningGateway, secret: str) -> Iterator[openai.OpenAI]:
    """A client with that key."""
    with client_of(gateway, secret) as client:
        yield client


def test_openai_lists_models_and_chats(gateway: RunningGateway, client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION)
    assert answer.choices[0].message.content == "".join(WORDS)
    assert answer.usage is not None and answer.usage.total_tokens == 6
    (asked,) = gateway.engine.of_path("/v1/chat/completions")
    assert "Authorization" not in asked.headers


def test_openai_reads_each_part_of_a_stream_before_the_next(
    gateway: RunningGateway, client: openai.OpenAI
) -> None:
    gateway.engine.next_event.release()
    with client.chat.completions.create(model=MODEL, messages=QUESTION, stream=True) as stream:
        for word in WORDS:
            # The engine sends the next one only now that this one is here.
            assert next(stream).choices[0].delta.content == word
            gateway.engine.next_event.release()
        assert list(stream) == []


def test_openai_offers_tools_and_reads_their_calls(
    gateway: RunningGateway, client: openai.OpenAI
) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, tools=[TOOL])
    calls: Any = answer.choices[0].message.tool_calls
    assert [(call.function.name, call.function.arguments) for call in calls] == [
        ("weather", '{"city": "Paris"}')
    ]
    (asked,) = gateway.engine.of_path("/v1/chat/completions")
    assert b'"required":["city"]' in asked.body.replace(b" ", b"")


def test_openai_raises_what_it_has_for_each_refusal(
    gateway: RunningGateway, client: openai.OpenAI
) -> None:
    with (
        client_of(gateway, f"fn90-{'x' * 43}") as wrong,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        wrong.models.list()
    assert refused.value.code == "invalid_api_key"
    assert "Authorization: Bearer KEY" in refused.value.message

    with pytest.raises(openai.NotFoundError) as unknown:
        client.embeddings.create(model=MODEL, input="x")
    assert unknown.value.code == "unknown_url"

    # The engine's own errors pass as they are.
    with pytest.raises(openai.NotFoundError, match="`none` does not exist"):
        client.chat.completions.create(model="none", messages=QUESTION)

    with pytest.raises(openai.APIStatusError) as large:
        client.completions.create(model=MODEL, prompt="x" * 600_000)
    assert large.value.status_code == 413 and large.value.code == "request_too_large"


def test_openai_raises_what_it_has_for_too_many(gateway: RunningGateway) -> None:
    secret, key = made_key("bob", requests_per_minute=1)
    gateway.give(key)
    with client_of(gateway, secret) as client:
        client.models.list()
        with pytest.raises(openai.RateLimitError) as many:
            client.models.list()
    assert many.value.code == "rate_limit_exceeded"
    assert many.value.response.headers["retry-after"] == "60"


def test_openai_raises_what_it_has_for_an_engine_that_is_away(gateways: Gateways) -> None:
    gateway = gateways(hold=1)
    secret, key = made_key("ada")
    gateway.give(key)
    gateway.engine.stop()
    with client_of(gateway, secret) as client, pytest.raises(openai.InternalServerError) as away:
        client.models.list()
    assert away.value.code == "engine_unavailable"


def test_openai_believes_the_fleets_certificate_alone(gateway: RunningGateway, secret: str) -> None:
    others = openai.DefaultHttpxClient(verify=ssl.create_default_context())
    with (
        client_of(gateway, secret, http_client=others) as client,
        pytest.raises(openai.APIConnectionError) as refused,
    ):
        client.models.list()
    assert "certificate verify failed" in str(refused.value.__cause__)


def environment_of(gateway: RunningGateway, secret: str) -> dict[str, str]:
    """The variables that the page has its reader set."""
    certificate = gateway.folder / "fleet.pem"
    certificate.write_text(gateway.authority.pem)
    return environment(f"https://{LOOPBACK}:{gateway.port}/v1", secret, certificate)


def test_the_pages_python_examples_work(
    gateway: RunningGateway, secret: str, tmp_path: Path
) -> None:
    gateway.engine.next_event.release(len(WORDS) + 1)
    stream, own_file = examples("python")
    variables = environment_of(gateway, secret)
    assert printed_by([sys.executable, "-c", stream], variables, tmp_path) == "one two three\n"
    del variables["SSL_CERT_FILE"]
    assert printed_by([sys.executable, "-c", own_file], variables, tmp_path) == f"{MODEL}\n"


def test_the_pages_curl_lines_work(gateway: RunningGateway, secret: str, tmp_path: Path) -> None:
    gateway.engine.next_event.release(len(WORDS) + 1)
    (lines,) = examples("curl")
    printed = printed_by(["bash", "-ec", lines], environment_of(gateway, secret), tmp_path)
    assert f'"id": "{MODEL}"' in printed
    assert '"content": " three"' in printed and printed.endswith("data: [DONE]\n\n")


def test_curl_reads_the_reason_of_a_refusal(gateway: RunningGateway, tmp_path: Path) -> None:
    variables = environment_of(gateway, "")
    printed = printed_by(
        [
            "bash",
            "-ec",
            'curl -sS --cacert "$SSL_CERT_FILE" "$OPENAI_BASE_URL/models" -w "%{http_code}"',
        ],
        variables,
        tmp_path,
    )
    assert printed.startswith('{"error":{"message":"No valid API key') and printed.endswith("401")
