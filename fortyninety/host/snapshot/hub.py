"""Read from a hub, by its own client."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fortyninety.host.checkpoint_files import File
from fortyninety.host.snapshot.digest import BUFFER
from fortyninety.host.snapshot.failures import Cut, SourceRefuses
from fortyninety.host.snapshot.places import Places, names_below

# Seconds between attempts at a source that was cut off, until it has been silent for `patience`.
FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0


def from_hub(places: Places, file: File, source: dict[str, Any], *, again: bool) -> Path:
    with hub_errors(source):
        from huggingface_hub import constants, hf_hub_download  # noqa: PLC0415

        # What a cut loses at most; the client's own is ten times as much.
        constants.DOWNLOAD_CHUNK_SIZE = BUFFER
        folder = places.incoming / "hub"
        retried(
            lambda: hf_hub_download(
                source["repository"],
                file.path,
                revision=source["revision"],
                local_dir=folder,
                endpoint=source.get("endpoint"),
                token=source.get("token") or False,
                force_download=again,
            ),
            source,
            lambda: sum((folder / name).stat().st_size for name in names_below(folder)),
        )
        return folder / file.path


def retried(function: Callable[[], Any], source: dict[str, Any], size: Callable[[], int]) -> Any:
    """Try until it succeeds, as long as bytes come or the last ones are not `patience` seconds old.

    `size` says how much there is; what is cut goes on from there. Refusals are not tried again.
    """
    import httpx  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415

    wait, have, since = FIRST_WAIT, size(), time.monotonic()
    while True:
        try:
            return function()
        # RuntimeError: the client's own retry after a connection error uses what it has closed.
        except (HfHubHTTPError, LocalEntryNotFoundError, httpx.HTTPError, RuntimeError) as error:
            if _status(error) not in (None, 408, 429, 500, 502, 503, 504):
                raise
            if size() != have:
                wait, have, since = FIRST_WAIT, size(), time.monotonic()
            if time.monotonic() + wait - since > source.get("patience", 60):
                raise
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)


def _status(error: BaseException) -> int | None:
    """The HTTP status behind an error of the client, or None where there was no answer."""
    seen: BaseException | None = error
    while seen is not None:
        response = getattr(seen, "response", None)
        if response is not None:
            return int(response.status_code)
        seen = seen.__cause__
    return None


@contextlib.contextmanager
def hub_errors(source: dict[str, Any]) -> Iterator[None]:
    """Turn the client's errors into one line each that says what to do."""
    # Before the client is imported, which reads them then.
    os.environ.update(HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    import httpx  # noqa: PLC0415
    from huggingface_hub import errors  # noqa: PLC0415

    hub = source.get("source") or source.get("endpoint") or "the public hub"
    repository = source.get("repository")
    token = source.get("token")
    try:
        yield
    except errors.GatedRepoError as error:
        raise SourceRefuses(
            f"the licence of {repository} is not accepted"
            + (
                " by the token's account: accept it on the repository's page"
                if token
                else ", or there is no token: accept it on the repository's page and set hub_token"
            )
        ) from error
    except errors.RevisionNotFoundError as error:
        raise SourceRefuses(f"{hub} has no commit {source['revision']} of {repository}") from error
    except errors.RepositoryNotFoundError as error:
        raise SourceRefuses(
            f"{hub} has no repository {repository}"
            + (", or the token may not read it" if token else ", or it needs a token (hub_token)")
        ) from error
    except (
        errors.HfHubHTTPError,
        errors.LocalEntryNotFoundError,
        httpx.HTTPError,
        RuntimeError,
    ) as error:
        status = _status(error)
        if status == 401:
            raise SourceRefuses(f"{hub} refuses the token: wrong or expired (hub_token)") from error
        if status == 403:
            raise SourceRefuses(f"{hub} forbids {repository} to this token (hub_token)") from error
        if status == 404:
            raise SourceRefuses(f"{hub} has no such file of {repository}") from error
        if status == 429:
            raise Cut(f"{hub} limits the rate of requests: try again later") from error
        if status is not None:
            raise Cut(f"{hub} answers with HTTP status {status}") from error
        reason = " ".join(str(error.__cause__ or error).split())
        raise Cut(f"{hub} is down or out of reach: {reason}") from error
