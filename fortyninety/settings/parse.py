"""Parse the settings of one host from its pyinfra data, before anything touches a host."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pyinfra.api.arguments import all_global_arguments
from pyinfra.connectors.ssh import ConnectorData

from fortyninety.problem import Problem
from fortyninety.settings.allowed import allowed_values
from fortyninety.settings.folders import overlapping
from fortyninety.settings.model import Settings
from fortyninety.settings.named_models import named_model
from fortyninety.text.shown_values import shown

# The folders that the deploy writes to or fetches from, none of which may hold another.
FOLDERS = ("install_directory", "models_directory", "second_copy_directory", "wheel_directory")

# Of pyinfra's connection data. Source: ConnectorData of its SSH connector, ssh_config(5).
CONNECTION_TEXTS = (
    "ssh_hostname",
    "ssh_user",
    "ssh_key",
    "ssh_config_file",
    "ssh_known_hosts_file",
)
STRICTNESS = ("yes", "accept-new", "ask", "no", "off")

# Keys of host data that are pyinfra's own, not ours: its SSH connection and global arguments.
CONNECTION_TYPES: dict[str, type] = get_type_hints(ConnectorData)
CONNECTION_KEYS = frozenset(CONNECTION_TYPES)
GLOBAL_ARGUMENT_KEYS = frozenset(name for name, _ in all_global_arguments() if name.startswith("_"))


def parse_settings(host: str, data: Mapping[str, Any]) -> Settings | list[Problem]:
    """Settings of `host` from its pyinfra data, or every problem with them at once.

    Raises nothing, whatever the data is: it may be a file that was just edited.
    """
    own = {
        key: value
        for key, value in data.items()
        if key not in CONNECTION_KEYS and key not in GLOBAL_ARGUMENT_KEYS
    }
    nameless = [key for key in own if not isinstance(key, str) or not key.isprintable()]
    if nameless:
        return [
            Problem(
                host=host,
                subject="data",
                found=f"with a key {shown('', key)}",
                expected="names of settings",
            )
            for key in nameless
        ]
    connection = list(_connection_problems(host, data))
    try:
        settings = Settings.model_validate(own)
    except ValidationError as error:
        return [*connection, *_problems(host, error.errors(include_url=False))]
    return [*connection, *_problems_together(host, settings, data)] or settings


def _connection_problems(host: str, data: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with how pyinfra is told to reach the host: it would end in a traceback."""
    for key in CONNECTION_TEXTS:
        value = data.get(key)
        if value is not None and not (isinstance(value, str) and _is_option(value)):
            yield Problem(
                host=host,
                subject=key,
                found=shown(key, value),
                expected="a text of printable characters, or None",
            )
    for key in ("ssh_password", "ssh_key_password"):
        if not isinstance(data.get(key), str | None):
            yield Problem(
                host=host, subject=key, found="something else", expected="a text, or None"
            )
    port = data.get("ssh_port")
    if port is not None and (type(port) is not int or not 1 <= port <= 65535):
        yield Problem(
            host=host,
            subject="ssh_port",
            found=shown("", port),
            expected="a whole number from 1 to 65535, or None",
        )
    strict = data.get("ssh_strict_host_key_checking")
    if strict is not None and strict not in STRICTNESS:
        yield Problem(
            host=host,
            subject="ssh_strict_host_key_checking",
            found=shown("", strict),
            expected=f"one of {', '.join(map(repr, STRICTNESS))}",
            remedy="'yes' refuses a host whose key is not known",
        )


def _is_option(text: str) -> bool:
    """Whether OpenSSH takes a text as the value that it is, and not for an option of its own."""
    return bool(text) and text.isprintable() and not text.startswith("-")


def _problems_together(host: str, settings: Settings, data: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with settings that are each right by themselves."""
    folders = {key: getattr(settings, key) for key in FOLDERS}
    for key, other in overlapping({key: path for key, path in folders.items() if path}):
        yield Problem(
            host=host,
            subject=key,
            found=repr(folders[key]),
            expected=f"a folder that does not lie in {other}, which is {folders[other]!r}",
        )
    named = named_model(settings.model)
    if named is not None and settings.model_repository != named.repository:
        yield Problem(
            host=host,
            subject="model_repository",
            found=repr(settings.model_repository),
            expected=f"none beside model = {named.name!r}, which is {named.repository}",
            remedy="Keep one of the two: model = None serves a checkpoint of your own",
        )
    ports: dict[int, str] = {}
    for key, port in _ports(settings, data):
        if port in ports:
            yield Problem(
                host=host,
                subject=key,
                found=str(port),
                expected=f"another port than {ports[port]}'s",
            )
        ports.setdefault(port, key)


def _ports(settings: Settings, data: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The ports that something listens on, by setting; SSH's first, which none may take."""
    ssh = data.get("ssh_port")
    yield "ssh_port", ssh if isinstance(ssh, int) else 22
    yield "port", settings.port
    if settings.gateway or settings.is_front:
        yield "gateway_port", settings.gateway_port
        yield "gateway_status_port", settings.gateway_status_port
    if settings.is_front:
        yield "front_status_port", settings.front_status_port
    if settings.signals:
        yield "signals_exporter_port", settings.signals_exporter_port
    if settings.signals_port is not None:
        yield "signals_port", settings.signals_port
    if settings.is_monitor:
        yield "monitor_port", settings.monitor_port
        yield "monitor_alerts_port", settings.monitor_alerts_port
    if settings.snapshot_peers:
        yield "peer_port", settings.peer_port
    if settings.cell is not None:
        yield "cell_port", settings.cell_port
        # The engine's own rendezvous is at the next.
        yield "cell_port", settings.cell_port + 1


def _problems(host: str, errors: list[ErrorDetails]) -> list[Problem]:
    by_key: dict[str, list[ErrorDetails]] = {}
    for error in errors:
        by_key.setdefault(str(error["loc"][0]), []).append(error)
    missing = [key for key, found in by_key.items() if found[0]["type"] == "missing"]
    if set(missing) == set(Settings.model_fields):
        # pyinfra reads group_data/ from the working directory: elsewhere it silently has none.
        return [
            Problem(
                host=host,
                subject="group_data",
                found="not loaded",
                expected="the settings of group_data/all.py",
                remedy="Run `fortyninety deploy`, or pyinfra from the project's root",
            )
        ]
    return [_problem(host, key, found) for key, found in by_key.items()]


def _problem(host: str, key: str, errors: list[ErrorDetails]) -> Problem:
    if key not in Settings.model_fields:
        known = sorted({*Settings.model_fields, *CONNECTION_KEYS, *GLOBAL_ARGUMENT_KEYS})
        near = difflib.get_close_matches(key[:80], known, n=1)
        allowed = f"no such setting; did you mean {near[0]}?" if near else "no such setting"
        return Problem(
            host=host,
            subject=key if key.isidentifier() and len(key) <= 80 else shown("", key),
            found=shown(f"{key} {' '.join(near)}", errors[0]["input"]),
            expected=allowed,
            remedy="`fortyninety settings` lists them all",
        )
    if errors[0]["type"] == "missing":
        return Problem(host=host, subject=key, found="missing", expected=allowed_values(key))
    reasons = [each["ctx"]["reason"] for each in errors if each["type"] == "refused"]
    allowed = reasons[0] if reasons else allowed_values(key)
    return Problem(host=host, subject=key, found=shown(key, errors[0]["input"]), expected=allowed)
