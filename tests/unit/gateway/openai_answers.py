"""What an engine answers, in the shape of the OpenAI API's answers."""

from __future__ import annotations

from typing import Any

MODEL = "meta-llama/Llama-3.1-70B"
WORDS = ("one", " two", " three")
_COUNTED = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
_OF_CHAT = {"id": "chatcmpl-1", "created": 1, "model": MODEL}


def models() -> dict[str, Any]:
    """The list of the one model."""
    model = {"id": MODEL, "object": "model", "created": 1, "owned_by": "vllm"}
    return {"object": "list", "data": [model]}


def chat(asked: dict[str, Any]) -> dict[str, Any]:
    """A chat completion: words, or a call of the first tool that was offered."""
    message: dict[str, Any] = {"role": "assistant", "content": "".join(WORDS)}
    finished = "stop"
    if asked.get("tools"):
        name = asked["tools"][0]["function"]["name"]
        call = {"name": name, "arguments": '{"city": "Paris"}'}
        message["tool_calls"] = [{"id": "call-1", "type": "function", "function": call}]
        message["content"], finished = None, "tool_calls"
    choice = {"index": 0, "message": message, "finish_reason": finished}
    return {**_OF_CHAT, "object": "chat.completion", "choices": [choice], "usage": _COUNTED}


def chat_chunks() -> list[dict[str, Any]]:
    """The events of a chat completion that is streamed: a word in each."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": WORDS[0]}]
    deltas += [{"content": word} for word in WORDS[1:]]
    return [
        {
            **_OF_CHAT,
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
        }
        for delta in deltas
    ]


def unknown_model(name: str) -> dict[str, Any]:
    """The engine's own error for a model that it does not have."""
    message = f"The model `{name}` does not exist."
    return {
        "error": {"message": message, "type": "NotFoundError", "param": "model", "code": 404},
    }
