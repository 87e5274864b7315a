"""Define what a gateway lets through, how much of it and how long it waits."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# What HAProxy keeps of a buffer for headers that it adds, and room for a request's own.
BUFFER_BEYOND_BODY_KIB = 32


class Policy(BaseModel):
    """The limits of a gateway. Times are seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    # 256 KiB hold 64 k tokens of English. All of a body is read before the engine hears of it, so
    # that a slow sender costs no slot of the engine, and a request whose engine dies is sent again.
    max_body_kib: Annotated[int, Field(ge=16, le=16_384)] = 256
    max_header_bytes: Annotated[int, Field(ge=1_024, le=16_384)] = 8_192
    # How long a request waits for an engine that restarts. A 40 GB load takes minutes, and so long
    # do clients of the OpenAI API wait.
    hold: Annotated[int, Field(ge=1, le=3_600)] = 600
    # Until the first token, and between tokens.
    answer_timeout: Annotated[int, Field(ge=10, le=7_200)] = 600
    header_timeout: Annotated[int, Field(ge=1, le=60)] = 10
    body_timeout: Annotated[int, Field(ge=1, le=300)] = 30
    connections: Annotated[int, Field(ge=10, le=100_000)] = 2_000
    connections_per_client: Annotated[int, Field(ge=1, le=100_000)] = 200
    # A real completion costs the engine work.
    probe_interval: Annotated[int, Field(ge=1, le=3_600)] = 60

    @property
    def max_body_bytes(self) -> int:
        """The largest body of a request."""
        return self.max_body_kib * 1024

    @property
    def buffer_bytes(self) -> int:
        """HAProxy's buffer: a request with the largest headers and the largest body fits."""
        return (self.max_body_kib + BUFFER_BEYOND_BODY_KIB) * 1024
