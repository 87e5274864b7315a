"""Write errors as the OpenAI API does, so that its clients raise what they raise for it."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class ApiError:
    """An answer that is an error: what a client's own program reads, and what a person does.

    `retry_after` are seconds, after which the same request may succeed. `send_again` is whether a
    client's own program is left to send it again by itself.
    """

    status: int
    code: str
    message: str
    kind: str = "invalid_request_error"
    retry_after: int | None = None
    send_again: bool = True

    @property
    def body(self) -> str:
        """The JSON text."""
        error = {"message": self.message, "type": self.kind, "param": None, "code": self.code}
        return json.dumps({"error": error}, separators=(",", ":"))


NO_KEY = ApiError(
    401,
    "invalid_api_key",
    "No valid API key: send the one that you were given, as 'Authorization: Bearer KEY'.",
)
EXPIRED = ApiError(401, "invalid_api_key", "This API key has expired: ask for another.")
UNKNOWN_PATH = ApiError(404, "unknown_url", "There is no such path here: see the model's API.")
WRONG_METHOD = ApiError(405, "method_not_allowed", "This path is not asked by this method.")
NO_LENGTH = ApiError(
    411, "length_required", "The body of a request needs its length: send Content-Length."
)
BODY_WITH_GET = ApiError(400, "invalid_request", "A GET has no body.")
LARGE_BODY = ApiError(413, "request_too_large", "The request is larger than this server takes.")
LARGE_HEADERS = ApiError(431, "headers_too_large", "The headers are larger than this server takes.")
HEADER_CHARACTERS = ApiError(
    400, "invalid_request", "A header has characters that no header may have."
)
NO_FRONT = ApiError(403, "no_front", "Only a front of this fleet is heard here.")
TOO_MANY_AT_ONCE = ApiError(
    429,
    "rate_limit_exceeded",
    "This API key has as many requests under way as it may: wait for one to end.",
    "requests",
    retry_after=2,
)
# Until the window of a minute has passed.
TOO_MANY = ApiError(
    429,
    "rate_limit_exceeded",
    "This API key has asked as often in a minute as it may: wait.",
    "requests",
    retry_after=60,
)

ENGINE_UNAVAILABLE = ApiError(
    503, "engine_unavailable", "The model's server does not answer.", "server_error", 10
)

# HAProxy's own, which it gives where a rule does not.
OF_HAPROXY = (
    ApiError(400, "invalid_request", "This is no valid HTTP request."),
    ApiError(408, "request_timeout", "The request did not arrive in time."),
    ApiError(413, "request_too_large", "The request is larger than this server takes."),
    ApiError(500, "internal_error", "The gateway failed.", "server_error"),
    # It was sent three times, and may be why.
    ApiError(
        502,
        "engine_failed",
        "The model's server ended without an answer, each time that it was asked this.",
        "server_error",
        send_again=False,
    ),
    ENGINE_UNAVAILABLE,
    ApiError(504, "engine_timeout", "The model's server did not answer in time.", "server_error"),
)
