"""What is read of a file with the URL that alerts go to, and that nothing of it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from fortyninety.monitoring.webhook import WebhookUnusable, webhook_url


def file_with(content: str, folder: Path, mode: int = 0o600) -> Path:
    path = folder / "url"
    path.write_text(content)
    path.chmod(mode)
    return path


def test_the_url_is_read(tmp_path: Path) -> None:
    url = "https://alerts.example:8443/services/T0K3N?a=b"
    assert webhook_url(file_with(f"{url}\n", tmp_path)) == url


@pytest.mark.parametrize(
    "content",
    [
        "",
        "T0K3N",
        "ftp://T0K3N/",
        "https://",
        "https://a/T0K3N\nhttps://b/",
        "https://a/T0K3N x",
        "https://a:99999/T0K3N",
        "https://a/T0K3N" + "x" * 3000,
        "https://ä/T0K3N",
    ],
)
def test_something_else_is_refused_and_not_shown(content: str, tmp_path: Path) -> None:
    with pytest.raises(WebhookUnusable) as refused:
        webhook_url(file_with(content, tmp_path))
    assert "T0K3N" not in str(refused.value)


def test_what_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WebhookUnusable, match=r"others may read \(mode 640\): chmod 600 it"):
        webhook_url(file_with("https://a/", tmp_path, 0o640))
    with pytest.raises(WebhookUnusable, match="cannot be read"):
        webhook_url(tmp_path / "missing")
