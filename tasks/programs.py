"""Put the programs that a host runs in place."""

from fortyninety.operations import files


def put(path: str, content: str | bytes, what: str) -> None:
    """A program of `content` at `path`, under an operation that names it as `what`."""
    files.file(path, content, mode="755", name=f"Put the {what} in place")
