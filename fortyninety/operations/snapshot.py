"""The checkpoint at its pinned commit, whole and verified, or not there at all."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pyinfra import host

from fortyninety.facts.survey import HostState
from fortyninety.operations.converging import Command, converging


@converging
def published(
    state: HostState,
    *,
    repository: str,
    revision: str,
    directory: str,
    endpoint: str | None,
    fetch_snapshot: str,
    tools: str,
) -> Iterator[Command]:
    """The commit `revision` of `repository` under `directory`, fetched on the host itself.

    Whether it is there and has the sizes of its manifest is in the survey; `fetch_snapshot` (the
    program on the host, run by the Python of `tools`) resumes, verifies and publishes.
    """
    if state.snapshot == "whole":
        host.noop(f"{repository} at {revision} is published")
        return
    hub = f"HF_ENDPOINT={shlex.quote(endpoint)} " if endpoint else ""
    yield (
        f"HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_PROGRESS_BARS=1 {hub}"
        f"{shlex.quote(tools)}/bin/python {shlex.quote(fetch_snapshot)} "
        f"--repository {shlex.quote(repository)} --revision {shlex.quote(revision)} "
        f"--directory {shlex.quote(directory)}"
    )
