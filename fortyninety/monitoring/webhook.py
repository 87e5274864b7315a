"""Read the URL that alerts are posted to from its file on this machine, and from nowhere else."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from fortyninety.text.private_file import ReadableByOthers, read_private

LONGEST = 2048


class WebhookUnusable(Exception):
    """Why there is no URL in the file: never with what stands in it."""


def webhook_url(path: Path) -> str:
    """The URL in a file of this machine. Raises WebhookUnusable, also where others could read it.

    It may hold a secret: nothing that is raised has a part of it.
    """
    try:
        content = read_private(path, LONGEST + 1)
    except OSError as error:
        raise WebhookUnusable(f"{path} cannot be read: {error.strerror}") from error
    except ReadableByOthers as error:
        raise WebhookUnusable(f"{path} is a file that {error}: chmod 600 it") from error
    url = content.decode(errors="replace").strip()
    if len(content) > LONGEST or not _is_url(url):
        raise WebhookUnusable(f"{path} holds something else than one http:// or https:// URL")
    return url


def _is_url(text: str) -> bool:
    if not text.isascii() or not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
