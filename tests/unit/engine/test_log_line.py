from __future__ import annotations

import pytest

from fortyninety.engine.log_line import is_probe, shown_line

SECRET = "my salary"


@pytest.mark.parametrize(
    "line",
    [
        # 0.6.3 and 0.8.5 with their requests' log on.
        "INFO 05-01 logger.py:39] Received request cmpl-1: prompt: 'my salary: \"x\"', params: "
        "SamplingParams(n=1), prompt_token_ids: [1, 2], lora_request: None.",
        'INFO 05-01 logger.py:39] Received request chatcmpl-a: prompt: "it\'s my salary", params',
        # 0.32 with --enable-log-requests and --enable-log-outputs.
        "(APIServer pid=1) INFO [logger.py:60] Generated response chatcmpl-1: output: 'my salary'",
        "(APIServer pid=1) DEBUG Request cmpl-9: my salary",
        # What an engine dumps as it dies, and what a refused request is told.
        "ERROR NewRequestData(req_id=1,prompt_token_ids=[109, 121],mm=[]) my salary",
        '{"messages": [{"role": "user", "content": "my salary"}]}',
        "ValidationError input={'role': 'user', 'content': 'my salary'}",
        "x text=u'my salary'",
    ],
)
def test_what_people_said_is_left_out(line: str) -> None:
    shown = shown_line(f"2026-11-27T01:00:00+00:00 box python[1]: {line}")
    assert SECRET not in shown and "109" not in shown and "[1, 2]" not in shown
    assert shown.startswith("2026-11-27T01:00:00+00:00 box python[1]: ")
    assert shown.endswith("<left out>")


@pytest.mark.parametrize(
    "line",
    [
        "INFO 11-27 [loggers.py:259] Avg prompt throughput: 1.2 tokens/s, GPU KV cache usage: 3.0%",
        'INFO:     127.0.0.1:43236 - "POST /v1/completions HTTP/1.1" 200 OK',
        "Loading safetensors checkpoint shards:  40% Completed | 2/5 [00:01<00:02]",
        "ValueError: prompt tokens (9000) exceed max_model_len",
    ],
)
def test_what_the_engine_says_of_itself_is_shown(line: str) -> None:
    assert shown_line(line) == line


def test_what_moves_a_terminal_is_escaped() -> None:
    assert shown_line("a\x1b[2J\rb\u202e") == "a\\x1b[2J\\rb\\u202e"


def test_probes_are_told_from_requests() -> None:
    assert is_probe('INFO:     127.0.0.1:1 - "GET /metrics HTTP/1.0" 200 OK')
    assert not is_probe('INFO:     127.0.0.1:1 - "GET /health HTTP/1.1" 503 Service Unavailable')
    assert not is_probe('INFO:     127.0.0.1:1 - "POST /v1/completions HTTP/1.1" 200 OK')
