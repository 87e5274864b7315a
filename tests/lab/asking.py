"""Asking a lab host's engine by the program that a deploy puts onto the host."""

from __future__ import annotations

from lab.hosts import LabHost


def complete_command(host: LabHost) -> str:
    """The command that asks for one completion of the model that the host is to serve."""
    model = host.choice.model.repository
    return f"python3 /opt/fortyninety/bin/complete --port 8000 --model {model}"


def wait_until_it_answers(host: LabHost) -> None:
    """Wait for the engine, which starts with the host."""
    host.ssh(f"{complete_command(host)} --wait 300 --unit vllm.service", check=True)
