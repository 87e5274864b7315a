"""Refuse a request as the OpenAI API does, before the engine hears of it."""

from __future__ import annotations

import json
from http import HTTPStatus

from fortyninety.on_host.tenants.asgi import Send


class Refused(Exception):
    """Why a request is not passed on: its status, a word for programs and a line for people."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        self.status, self.code, self.message = status, code, message
        super().__init__(message)

    async def answer(self, send: Send) -> None:
        """Send it, in the shape of the API's errors."""
        error = {
            "message": self.message,
            "type": "invalid_request_error",
            "param": None,
            "code": self.code,
        }
        body = json.dumps({"error": error}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
