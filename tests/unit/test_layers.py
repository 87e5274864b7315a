"""Who may import whom: read from the imports themselves, so that the house keeps its plan.

A room is a folder of fortyninety/, a module that lies flat in it, or a folder beside it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from fortyninety.checkout import ROOT

# From the ground up. A room imports rooms of its own layer and of those before it.
LAYERS = {
    "ground: needs nothing of a host, of a setting or of pyinfra": (
        *("checkout", "deadlines", "lease", "problem", "templates", "text"),
    ),
    "on_host: programs that hosts run, from the standard library and each other alone": (
        "on_host",
    ),
    "arithmetic: whether a checkpoint fits, from numbers alone": ("fit",),
    "subjects: decide from settings and a reading, and touch no host": (
        *("cards", "cell", "driver", "engine", "firewall", "gateway", "load", "model"),
        *("monitoring", "packages", "plan", "releases", "rollout", "settings", "survey"),
    ),
    "connection: reaches one host, with deadlines and a lease": ("connection", "once"),
    "operations: ask and change one host by pyinfra": ("facts", "operations"),
    "fleet: plans, refuses and compares the hosts of one run": ("fleet",),
    "entrances: what somebody runs": ("__main__", "check", "cli", "deploy", "tasks"),
    "around: imitates hosts, measures; no part of the product": ("bench", "lab"),
}
LAYER_OF = {room: number for number, rooms in enumerate(LAYERS.values()) for room in rooms}
SUBJECTS = [room for rooms in list(LAYERS.values())[:4] for room in rooms]

# What may change a host or the standard library.
PYINFRA = {"gevent", "paramiko", "pyinfra", "pyinfra_cli"}
# The survey is read by a fact and remembered for each of pyinfra's hosts; which keys of a host's
# data are pyinfra's own is known from pyinfra.
KNOW_PYINFRA = {
    "fortyninety/settings/parse.py",
    "fortyninety/survey/latest.py",
    "fortyninety/survey/fact.py",
}

# Run by the Python of an environment: that of the host's tools, and the engine's own.
OF_AN_ENVIRONMENT = {
    "fortyninety/on_host/snapshot/reader.py": {"httpcore", "httpx"},
    "fortyninety/on_host/tenants/metrics.py": {"prometheus_client"},
    "fortyninety/on_host/try_engine.py": {"triton"},
}


@dataclass(frozen=True)
class Import:
    """An import of a module, in a file, and whether it waits until a function is called."""

    file: str
    module: str
    lazy: bool

    @property
    def importer(self) -> str:
        """The room of the file."""
        return room_of(self.file.removesuffix(".py").replace("/", "."))

    @property
    def imported(self) -> str:
        """The room of the module."""
        return room_of(self.module)


def room_of(module: str) -> str:
    first, *rest = module.split(".")
    return rest[0] if first == "fortyninety" and rest else first


def is_of_the_house(module: str) -> bool:
    return module.partition(".")[0] in ("bench", "fortyninety", "lab", "tasks")


def imports_of(file: str, text: str) -> Iterator[Import]:
    tree = ast.parse(text)
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None and node.level == 0, f"{file}: a relative import"
            # The name may be a module; what matters of it is the room.
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (Import(file, module, id(node) in lazy) for module in modules)


def read_imports() -> list[Import]:
    folders = (ROOT / name for name in ("bench", "fortyninety", "lab", "tasks"))
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return [
        each
        for path in [*files, ROOT / "deploy.py"]
        for each in imports_of(path.relative_to(ROOT).as_posix(), path.read_text())
    ]


IMPORTS = read_imports()


def upward(imports: list[Import]) -> list[str]:
    """Imports of a room that lies in a later layer; of the lab by the command line in time only."""
    return [
        f"{each.file} imports {each.module}"
        for each in imports
        if is_of_the_house(each.module)
        and LAYER_OF[each.imported] > LAYER_OF[each.importer]
        and not (each.importer == "cli" and each.imported == "lab" and each.lazy)
    ]


def circles(imports: list[Import]) -> list[str]:
    """Rooms that import each other, by whatever way round."""
    reached: dict[str, set[str]] = {}
    for each in imports:
        if is_of_the_house(each.module) and each.imported != each.importer:
            reached.setdefault(each.importer, set()).add(each.imported)
    direct = {room: set(rooms) for room, rooms in reached.items()}
    for middle in direct:
        for room, rooms in reached.items():
            if middle in rooms:
                reached[room] = rooms | reached[middle]
    return [
        f"{room} imports {other}, which imports {room}"
        for room, others in direct.items()
        for other in sorted(others)
        if room in reached.get(other, ())
    ]


def with_pyinfra(imports: list[Import]) -> list[str]:
    """Imports of pyinfra, or of what it runs on, by a room that must do without."""
    return [
        f"{each.file} imports {each.module}"
        for each in imports
        if each.importer in SUBJECTS
        and each.module.partition(".")[0] in PYINFRA
        and each.file not in KNOW_PYINFRA
    ]


def outside_of_arithmetic(imports: list[Import]) -> list[str]:
    """What `fit` imports of the house beside itself, but for how a value is shown in a message."""
    return [
        f"{each.file} imports {each.module}"
        for each in imports
        if each.importer == "fit"
        and is_of_the_house(each.module)
        and each.imported not in ("fit", "text")
    ]


def not_on_hosts(imports: list[Import]) -> list[str]:
    """What the programs of hosts import that a host's own Python need not have."""
    return [
        f"{each.file} imports {each.module}"
        for each in imports
        if each.importer == "on_host"
        and not each.module.startswith("fortyninety.on_host.")
        and (top := each.module.partition(".")[0]) not in sys.stdlib_module_names
        and top not in OF_AN_ENVIRONMENT.get(each.file, ())
    ]


RULES = {
    "no room imports from a later layer": upward,
    "no rooms import each other": circles,
    "what decides imports no pyinfra": with_pyinfra,
    "fit imports nothing but text": outside_of_arithmetic,
    "programs on hosts import the standard library and each other": not_on_hosts,
}


def test_every_room_has_a_layer() -> None:
    rooms = {each.importer for each in IMPORTS}
    rooms |= {each.imported for each in IMPORTS if is_of_the_house(each.module)}
    # What fortyninety/__init__.py imports, which is nothing, would have no room.
    assert rooms == set(LAYER_OF)
    assert len(rooms) <= 35


@pytest.mark.parametrize("rule", RULES)
def test_the_house_keeps(rule: str) -> None:
    assert RULES[rule](IMPORTS) == []


@pytest.mark.parametrize(
    ("rule", "file", "line"),
    [
        (upward, "plan/plan.py", "import fortyninety.operations.files"),
        (upward, "fleet/run.py", "from fortyninety.cli import main"),
        (upward, "cli/check.py", "import lab.hosts"),
        (upward, "model/hub.py", "def ask():\n    import lab.hosts"),
        (circles, "cell/firewall.py", "from fortyninety.plan.plan import Plan"),
        (circles, "survey/latest.py", "def read():\n    import fortyninety.plan"),
        (with_pyinfra, "plan/plan.py", "from pyinfra.api.host import Host"),
        (with_pyinfra, "model/peers.py", "import gevent"),
        (outside_of_arithmetic, "fit/shape.py", "from fortyninety.survey import records"),
        (not_on_hosts, "on_host/snapshot/fetch.py", "from fortyninety.text import printable"),
        (not_on_hosts, "on_host/complete.py", "import requests"),
    ],
)
def test_an_import_that_breaks_it_is_named(
    rule: Callable[[list[Import]], list[str]], file: str, line: str
) -> None:
    assert rule([*IMPORTS, *imports_of(f"fortyninety/{file}", line)]) != []


def test_the_lab_is_loaded_by_the_command_line_alone_and_when_asked_for() -> None:
    users = {each.file for each in IMPORTS if each.imported == "lab" and each.importer != "lab"}
    product = {file for file in users if not file.startswith("bench/")}
    assert product == {"fortyninety/cli/__init__.py"}
