"""Write down what a deploy compares on each host, for another tool to compare the same.

    python -m bench.wanted FOLDER inventory/lab.py

Runs the deploy dry, with the operations of the house wrapped, and writes an Ansible inventory and
the files' texts into FOLDER.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

# First of all: pyinfra's command line patches the standard library as it is imported.
import pyinfra_cli.main as pyinfra_main
from pyinfra.api.host import Host
from pyinfra.context import ctx_host

from fortyninety.operations import accounts, directories, driver, files, units
from fortyninety.operations.apt import packages as apt
from fortyninety.plan.plan import Plan
from fortyninety.survey.latest import current_reading
from fortyninety.tasks import preflight
from fortyninety.templates import render

_LISTS = ("folders", "configurations", "programs", "links", "packages", "holds", "units")


class Recorder:
    """Collects each host's variables; the texts of files go into the folder."""

    def __init__(self, folder: Path) -> None:
        self.hosts: dict[str, dict[str, Any]] = defaultdict(lambda: {name: [] for name in _LISTS})
        self._texts = folder / "files"
        self._texts.mkdir(parents=True, exist_ok=True)

    def wrap(self, module: Any, name: str, record: Callable[..., None]) -> None:
        """Have `record` see the arguments of an operation before it is called."""
        operation = getattr(module, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            record(*arguments, **options)
            return operation(*arguments, **options)

        setattr(module, name, wrapped)

    @property
    def _now(self) -> dict[str, Any]:
        host: Host = ctx_host.get()  # type: ignore[no-untyped-call]
        return self.hosts[host.name]

    def file(self, path: str, content: str | bytes, *, mode: str = "644", **_: Any) -> None:
        """A file of exactly this content."""
        data = content.encode() if isinstance(content, str) else content
        source = self._texts / hashlib.sha256(data).hexdigest()
        source.write_bytes(data)
        kind = "configurations" if path.startswith("/etc/") else "programs"
        self._now[kind].append({"src": str(source), "dest": path, "mode": f"0{mode}"})

    def pinned(self, pins: Any, *, preferences: str, unattended: str, **_: Any) -> None:
        """The two files that keep apt from another driver, recorded once of the two times."""
        if any(each["dest"] == preferences for each in self._now["configurations"]):
            return
        reading = current_reading(ctx_host.get())  # type: ignore[no-untyped-call]
        template = "fortyninety-driver.unattended-upgrades.j2"
        self.file(
            preferences,
            render("fortyninety.preferences.j2", reason=driver.KEPT, pins=pins.pins(reading)),
        )
        self.file(unattended, render(template, blacklist=pins.blacklist(reading)))

    def held(self, pins: Any, **_: Any) -> None:
        """The driver's packages, all of them held."""
        reading = current_reading(ctx_host.get())  # type: ignore[no-untyped-call]
        self._now["holds"] += pins.installed(reading)
        self._now["driver_version"] = pins.version(reading)

    def link(self, path: str, target: str, **_: Any) -> None:
        """A symbolic link."""
        self._now["links"].append({"dest": path, "src": target})

    def there(self, wanted: Any, **_: Any) -> None:
        """Folders with their modes."""
        self._now["folders"] += [{"path": each.path, "mode": f"0{each.mode}"} for each in wanted]

    def packages(self, wanted: Any, *, hold: bool = False, **_: Any) -> None:
        """Packages, with the beginning of their version where one is set."""
        names = [each.name for each in wanted]
        self._now["packages"] += [
            each.name if each.version is None else f"{each.name}={each.version}*" for each in wanted
        ]
        self._now["holds"] += names if hold else []

    def unit(self, unit_name: str, **_: Any) -> None:
        """A unit that is enabled and active."""
        self._now["units"].append(unit_name)

    def account(self, user: str, **_: Any) -> None:
        """The account of the service."""
        self._now["service_user"] = user

    def plan(self, plan: Plan) -> None:
        """What the playbook asks for of the plan itself."""
        self._now.update(
            engine=plan.paths.engine,
            tools=plan.paths.tools,
            served=plan.paths.served,
            snapshot=plan.paths.snapshot,
            snapshot_manifest=plan.snapshot_manifest,
            models=plan.paths.models,
            engine_port=plan.settings.port,
            model=plan.settings.model_name,
            power_limit=plan.settings.power_limit,
        )


def main(folder: Path, inventory: str) -> int:
    """Run the deploy dry and write what it compared; its exit code."""
    recorder = Recorder(folder)
    make_plan = preflight.plan_or_refuse

    def planned() -> Plan:
        plan: Plan = make_plan()
        recorder.plan(plan)
        return plan

    preflight.plan_or_refuse = planned
    recorder.wrap(files, "file", recorder.file)
    recorder.wrap(files, "link", recorder.link)
    recorder.wrap(directories, "there", recorder.there)
    recorder.wrap(apt, "packages", recorder.packages)
    recorder.wrap(units, "unit", recorder.unit)
    recorder.wrap(accounts, "service_user", recorder.account)
    recorder.wrap(driver, "pinned", recorder.pinned)
    recorder.wrap(driver, "held", recorder.held)
    sys.argv = ["pyinfra", "-y", "--dry", inventory, "deploy.py"]
    try:
        pyinfra_main.main()
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": recorder.hosts}}, indent=1))
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
