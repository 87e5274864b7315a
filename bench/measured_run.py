"""Run `pyinfra -y` once in this process, and write the cost of each stage as JSON into a file.

    python -m bench.measured_run RESULT.json inventory/lab.py [deploy.py]

Counts what crosses the wire by wrapping the SSH connector's own methods, so that nothing of the
project itself knows that it is measured.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# First of all: pyinfra's command line patches the standard library as it is imported.
import pyinfra_cli.main as pyinfra_main
from pyinfra.api.state import BaseStateCallback, State, StateStage
from pyinfra.connectors.ssh import SSHConnector

from fortyninety.connection.bounded import Connection


@dataclass
class Cost:
    """What a stage cost: wall and controller CPU seconds, and commands and files to all hosts."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    commands: int = 0
    files: int = 0


class Meter(BaseStateCallback):
    """Books time and commands on the stage that is at work."""

    def __init__(self) -> None:
        self.costs: dict[str, Cost] = defaultdict(Cost)
        self._stage = "Start"
        self._wall = time.monotonic()
        # The process's own clock began with the interpreter: imports count as a part of the start.
        self._cpu = 0.0

    def enter(self, stage: str) -> None:
        """Close the books of the stage before and open those of `stage`."""
        wall, cpu = time.monotonic(), time.process_time()
        cost = self.costs[self._stage]
        cost.wall_seconds += wall - self._wall
        cost.cpu_seconds += cpu - self._cpu
        self._stage, self._wall, self._cpu = stage, wall, cpu

    def operation_start(  # type: ignore[override]  # static where pyinfra declares it
        self, state: State, op_hash: str
    ) -> None:
        """pyinfra begins an operation: its name begins with its stage."""
        (name, *_) = state.get_op_meta(op_hash).names
        self.enter(name.partition(" | ")[0])

    def count(self, kind: str) -> None:
        """One more command or file."""
        cost = self.costs[self._stage]
        setattr(cost, kind, getattr(cost, kind) + 1)


def measure(inventory: str, deploy_file: str) -> tuple[int, dict[str, Any]]:
    """Run the deploy; its exit code, and the costs by stage with the operations that changed."""
    meter = Meter()
    states: list[State] = []
    names = {
        StateStage.Connect: "Connect",
        StateStage.Prepare: "Preflight",
        StateStage.Execute: "Order operations",
        StateStage.Disconnect: "Disconnect",
    }
    set_stage, run_shell_command, put_file, open_channel = (
        State.set_stage,
        SSHConnector.run_shell_command,
        SSHConnector.put_file,
        Connection.open,
    )

    def staged(state: State, stage: StateStage) -> None:
        if state not in states:
            states.append(state)
            state.add_callback_handler(meter)  # type: ignore[no-untyped-call]
        meter.enter(names[stage])
        set_stage(state, stage)

    def command(*arguments: Any, **options: Any) -> Any:
        meter.count("commands")
        return run_shell_command(*arguments, **options)

    def file(*arguments: Any, **options: Any) -> Any:
        meter.count("files")
        return put_file(*arguments, **options)

    def channel(*arguments: Any, **options: Any) -> Any:
        meter.count("commands")
        return open_channel(*arguments, **options)

    Connection.open = channel  # type: ignore[method-assign]
    State.set_stage = staged  # type: ignore[assignment, method-assign]
    SSHConnector.run_shell_command = command  # type: ignore[method-assign]
    SSHConnector.put_file = file  # type: ignore[method-assign]
    sys.argv = ["pyinfra", "-y", inventory, deploy_file]
    try:
        pyinfra_main.main()
        code = 0
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    meter.enter("End")
    changed = sum(
        data.operation_meta.did_change()
        for state in states
        for operations in state.ops.values()
        for data in operations.values()
        if data.operation_meta.is_complete()
    )
    costs = {stage: asdict(cost) for stage, cost in meter.costs.items() if stage != "End"}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return code, {"stages": costs, "changed_operations": changed, "memory_mib": memory}


if __name__ == "__main__":
    _, result, measured_inventory, *given = sys.argv
    exit_code, measured = measure(measured_inventory, *(given or ["deploy.py"]))
    Path(result).write_text(json.dumps(measured))
    sys.exit(exit_code)
