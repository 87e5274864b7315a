"""Whatever a host answers: no traceback, and none of its text in a command but as one quoted word.

Run by test_hostile_readings.py in a process of its own, because pyinfra's command line patches the
standard library. `FORTYNINETY_GENERATED_READINGS` is how many readings each test generates.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

# First of all: it patches the standard library.
import pyinfra_cli.main  # noqa: F401
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyinfra.api.command import FunctionCommand, StringCommand
from pyinfra.context import ctx_host, ctx_state

import fortyninety.operations
from fortyninety.facts.completion import CompletionResult
from fortyninety.firewall.rules import Door, Firewall
from fortyninety.gateway.certificates import Given
from fortyninety.on_host.drain.state import Drained
from fortyninety.operations import converge as making
from fortyninety.operations import reset as resetting
from fortyninety.operations.environments import EngineBuild
from fortyninety.operations.restoring import Restoring
from fortyninety.operations.tables import OF_A_CELL
from fortyninety.packages.needed import DpkgEntry
from fortyninety.plan.draining import Draining
from fortyninety.plan.instance import FRONT
from fortyninety.plan.monitor import Daemon
from fortyninety.plan.paths import SERVICE
from fortyninety.plan.plan import Plan, make_plan
from fortyninety.plan.preflight import host_problems
from fortyninety.plan.reset import plan_reset
from fortyninety.releases.release import load_release
from fortyninety.survey import records as forms
from fortyninety.survey.fact import Survey
from fortyninety.survey.kinds import KINDS
from fortyninety.survey.reading import Condition, FileState, HostReading, PackageState, ServedUnit
from fortyninety.survey.remains import Remains
from tests.unit import readings

NUMBER = int(os.environ.get("FORTYNINETY_GENERATED_READINGS", "60"))
generated = settings(
    # Those that hypothesis makes part by part take some hundredths of a second each.
    max_examples=min(NUMBER, 2000),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)

# In every text of a stranger, and never right without quotes.
MARK = "f0$(id)d"
HOSTILE = [
    f"{before}{MARK}{after}"
    for before, after in (
        ("'; ", "; '"),
        ('"; ', '; "'),
        ("$(", ")"),
        ("`", "`"),
        ("\n", "\n"),
        ("-", ""),
        ("/", "*"),
        ("../../", ""),
        ("\t", "\t"),
        ("a && ", " #"),
        ("\\", "\\"),
        ("\x1b]0;", "\x07"),
        ("\x00", "\udcff"),
        ("${", "}"),
        ("\u202e", "\u2028"),
    )
]
# Beside words of ours: quotes that end where a stranger would have them end.
TEXT = st.one_of(
    *(st.sampled_from(HOSTILE),) * 4,
    st.text(alphabet="'\"`$\\;&|\n -/*\x00\x85\u202e\udcff", max_size=6).map(
        lambda text: f"{text}{MARK}{text}"
    ),
)

VALID = {
    forms.NUMBER: "7",
    forms.FINGERPRINT: "A" * 40,
    forms.SHA256: "a" * 64,
    forms.DIGEST: "ab",
    forms.COMMIT: "c" * 40,
    forms.MODE: "644",
    forms.PATH: "/etc/f0rged",
    forms.PACKAGE: "linux-headers-f0rged",
    forms.PACKAGE_VERSION: "550.163.01-2",
    forms.KERNEL: "6.1-f0rged",
    forms.PERHAPS_KERNEL: "",
    forms.VERSION: "550.163.01",
    forms.PERHAPS_VERSION: "",
    forms.DRIVER_VERSION: "550.163.01",
    forms.ENVIRONMENT: f"0.1-{'e' * 12}",
    forms.PERHAPS_ENVIRONMENT: f"0.1-{'e' * 12}",
    forms.CONFIGURATION: "1" * 16,
    forms.LEFTOVER: f".partial-{'d' * 40}",
    forms.PCI_ADDRESS: "0000:01:00.0",
    forms.PCI_DEVICE: "0x2684",
    forms.UNIT_LINE: "Id=f0rged",
    forms.ACCOUNT: "vllm:x:1:1::/:/f0rged",
    forms.IPV4: "192.0.2.1",
    forms.PORT: "22",
    forms.ADDRESS: "fe80::1%eth0",
}


def a_field(form: forms.Form) -> st.SearchStrategy[str]:
    """Mostly one of the form, sometimes anything, and sometimes what almost has the form."""
    anything = st.one_of(TEXT, st.text(max_size=40), st.just("9" * 5000), st.just(""))
    if form.name.count(" or "):
        return st.one_of(st.sampled_from(form.name.split(" or ")), anything)
    valid = VALID.get(form, "x")
    near = TEXT.map(lambda text: valid + text)
    printable = st.text(alphabet=[chr(code) for code in range(32, 127)], max_size=30)
    return (
        st.one_of(st.just(valid), st.from_regex(form.pattern, fullmatch=True), near, anything)
        if (form not in (forms.TEXT, forms.LONG_TEXT))
        else st.one_of(printable.map(lambda text: f"{text}{MARK}'{text}"), anything)
    )


@st.composite
def record(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(sorted(KINDS)))
    values = [draw(a_field(form)) for form in KINDS[kind].fields]
    if draw(st.integers(0, 19)) == 0:
        values.append(draw(TEXT))
    return "\t".join([kind, *values])


@st.composite
def answer(draw: st.DrawFn) -> list[str]:
    """A bare host's records with others among them, or in the place of some."""
    lines = [line for line in readings.BARE if draw(st.integers(0, 30)) > 0]
    for each in draw(st.lists(st.one_of(record(), TEXT), max_size=4)):
        lines.insert(draw(st.integers(0, len(lines))), each)
    return lines


# What is written into files of a host; no line of a host comes with half of a character.
ENCODABLE = TEXT.map(lambda text: text.replace("\udcff", "\xff"))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    # The words of a form that are looked up, and so never are anything else.
    "Condition | None": st.sampled_from([None, *get_args(Condition)]),
    "str": ENCODABLE,
    "str | None": st.none() | ENCODABLE,
    "bool": st.booleans(),
    "int": st.integers(0, 3),
    "list[str]": st.lists(ENCODABLE, max_size=3),
    "tuple[str, str, str] | None": st.none() | st.tuples(*(ENCODABLE,) * 3),
    "tuple[str, ...]": st.lists(ENCODABLE, max_size=3).map(tuple),
    "dict[str, str]": st.dictionaries(ENCODABLE, ENCODABLE, max_size=3),
    "dict[str, str | None]": st.dictionaries(
        ENCODABLE, st.none() | ENCODABLE, min_size=1, max_size=3
    ),
    "dict[str, bool]": st.dictionaries(ENCODABLE, st.booleans(), max_size=3),
    "list[ServedUnit]": st.lists(
        st.builds(ServedUnit, ENCODABLE, st.integers(0, 9), ENCODABLE), max_size=3
    ),
    "Drained | None": st.none()
    | st.builds(Drained, st.integers(0, 9), st.sampled_from([9, 10**11]), ENCODABLE, ENCODABLE),
    "dict[str, FileState]": st.dictionaries(
        st.one_of(ENCODABLE, st.sampled_from(["/a", "/b"])),
        st.builds(FileState, ENCODABLE, ENCODABLE, ENCODABLE, ENCODABLE, ENCODABLE, ENCODABLE),
        max_size=3,
    ),
    "dict[str, PackageState]": st.dictionaries(
        st.one_of(
            ENCODABLE,
            ENCODABLE.map(lambda text: f"libnvidia{text}"),
            ENCODABLE.map(lambda text: f"linux-headers-{text}"),
            st.just("nvidia-kernel-dkms"),
        ),
        st.builds(
            PackageState,
            st.one_of(
                st.none(), ENCODABLE, st.just("550.163.01-2"), ENCODABLE.map(lambda t: f"550.1-{t}")
            ),
            st.booleans(),
        ),
        max_size=4,
    ),
    "dict[str, dict[str, str]]": st.dictionaries(
        st.sampled_from([SERVICE, "a.service"]),
        st.dictionaries(
            st.sampled_from(["ActiveState", "UnitFileState", "NeedDaemonReload", "WantedBy"]),
            ENCODABLE,
        ),
        max_size=2,
    ),
}


def any_reading() -> st.SearchStrategy[HostReading]:
    """Readings as no survey would let them through, with a stranger's text in every place."""
    groups = {
        name: _drawn(kind)
        for name, kind in get_type_hints(HostReading).items()
        if is_dataclass(kind)
    }
    return st.builds(HostReading, **{**_values(HostReading), **groups, "unreadable": st.none()})


def _drawn(kind: Any) -> st.SearchStrategy[Any]:
    return st.builds(kind, **_values(kind))


def _values(kind: Any) -> dict[str, st.SearchStrategy[Any]]:
    """A value for each field of a dataclass whose type is known here."""
    return {each.name: VALUES[str(each.type)] for each in fields(kind) if str(each.type) in VALUES}


PLAN: Plan = make_plan(readings.settings(), load_release("0.8.5.post1"), readings.bare_host())


RESET = plan_reset(PLAN.settings, PLAN.release, keep_model=False, keep_driver=False)
# What of a deploy is on a host, with a stranger's text in every place.
REMAINS = Remains(
    noted=True,
    packages=tuple(HOSTILE),
    holds=tuple(HOSTILE),
    caches=("uv",),
    accounts=dict.fromkeys(HOSTILE, 990),
    dpkg={each: DpkgEntry(installed=True, needs=each) for each in HOSTILE},
    there=frozenset((*RESET.folders, *RESET.emptied, *RESET.caches.values())),
    cut=frozenset(RESET.files),
    models={f"/srv/models/{each}": [*HOSTILE, "a" * 40] for each in (*HOSTILE, "a-model")},
    drop_ins=tuple(HOSTILE),
)


BUILD = EngineBuild(
    *("/a", "/b", PLAN.release, "/c", "/d", "/e", "/f", "/g", "/h", PLAN.package_source)
)

# What the tasks give an operation beside the reading, by the parameter's name or else by its type.
GIVEN: dict[str, Any] = {
    "without": PLAN.driver.obsolete,
    "hold": True,
    "then": "true",
    "initramfs_behind": "/a",
    "pins": PLAN.driver.pins,
    "release": PLAN.release,
    "settings": PLAN.settings,
    "source": PLAN.package_source,
    "lock": PLAN.release.lock_path,
    "live": PLAN.paths.engine,
    "published": PLAN.paths.snapshot,
    "served": PLAN.paths.served,
    "service": SERVICE,
    "unit_name": SERVICE,
    "driver_package": "nvidia-kernel-dkms",
    "files": ("/a", "/b"),
    "texts": {"a": "text"},
    "table": OF_A_CELL,
    "fingerprint": "A" * 40,
    "kept": 0,
    "keep": 0,
    "allowed": True,
    "supply": lambda state, host: True,
    "begin": lambda state, host: True,
    "under_way": lambda host: False,
    "plan": RESET,
    "draining": Draining("/a", 8000, 1, 60),
}
BY_TYPE: dict[str, Any] = {
    "str": "/a",
    "str | bytes": "text",
    "int": 1,
    "bool": False,
    "int | None": None,
    "str | None": None,
    "dict[str, Any]": {},
    "Mapping[str, str]": {},
    "Mapping[str, str | bytes]": {"/a": "text"},
    "Sequence[str]": (),
    "EngineBuild": BUILD,
    "Sequence[Package]": (*PLAN.driver.headers, *PLAN.driver.packages),
    "CertificateSource": Given("nobody's\n"),
    "Instance": FRONT,
    "AuthoritySource | None": None,
    "AuthoritySource": SimpleNamespace(text=lambda moment: "nobody's\n"),
    "Callable[[], str] | None": lambda: "",
    "Daemon": Daemon("a", "/etc/a.service", "[Unit]\n", "/run/a", "/run/b", "0" * 64, "1" * 64),
    "Sequence[Directory]": PLAN.paths.directories,
    "Sequence[tuple[str, str]]": (),
    "Firewall": Firewall((Door("SSH", (22,)),)),
    "Restoring | None": Restoring("/a", "/b", "/c", 1, 2, "/d"),
}


def arguments(operation: Any) -> dict[str, Any]:
    """What this operation is called with. Raises KeyError for a type that is not known here."""
    _, *parameters = inspect.signature(function_of(operation)).parameters.values()
    parameters = [each for each in parameters if each.name != "remains"]
    return {
        each.name: GIVEN[each.name] if each.name in GIVEN else BY_TYPE[str(each.annotation)]
        for each in parameters
        if each.name in GIVEN or each.default is each.empty
    }


def function_of(operation: Any) -> Callable[..., Any]:
    """The generator that `converging` made an operation of."""
    function: Callable[..., Any] = inspect.getclosurevars(operation._inner).nonlocals["function"]
    if "function" in (wrapped := inspect.getclosurevars(function).nonlocals):
        function = wrapped["function"]  # One that also gets what of a deploy is on the host.
    return function


def operations() -> dict[str, Any]:
    """Every operation of the project that compares with a reading."""
    found = {}
    package = fortyninety.operations
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        loaded = importlib.import_module(module.name)
        for name, each in vars(loaded).items():
            if getattr(each, "_inner", None) is not None and each.__module__ == loaded.__name__:
                found[f"{module.name.removeprefix(f'{package.__name__}.')}.{name}"] = each
    return found


OPERATIONS = [(each, arguments(each)) for each in operations().values()]


def test_all_operations_are_tried() -> None:
    assert len(OPERATIONS) >= 27


def commands(reading: HostReading) -> Iterator[str]:
    """The shell commands that the operations would run on a host that was read so."""
    host = SimpleNamespace(
        name="box1",
        print_prefix="",
        current_op_hash=None,
        noop=lambda text: None,
        get_fact=lambda *_, **__: CompletionResult(None, 0, f"{HOSTILE[0]}"),
    )
    with ExitStack() as stack:
        stack.enter_context(ctx_host.use(host))
        stack.enter_context(ctx_state.use(SimpleNamespace(is_executing=False)))
        before, making.current_reading = making.current_reading, lambda host: reading
        stack.callback(setattr, making, "current_reading", before)
        really, resetting.read_remains = resetting.read_remains, lambda *_: REMAINS
        stack.callback(setattr, resetting, "read_remains", really)
        for operation, given_to_it in OPERATIONS:
            plan = [given_to_it["plan"]] if "plan" in given_to_it else []
            named = {name: value for name, value in given_to_it.items() if name != "plan"}
            for command in operation._inner(*plan, **named):
                yield from as_text(command)


def as_text(command: object) -> Iterator[str]:
    if isinstance(command, str):
        yield command
    elif isinstance(command, StringCommand):
        yield command.get_raw_value()
    elif isinstance(command, FunctionCommand) and command.function.__name__ in (
        "_run",
        "_worked_out",
    ):
        yield command.args[0]


def outside_of_quotes(command: str) -> str:
    """What of a shell command is not between single quotes, by POSIX's rules of quoting."""
    found, quote, index = [], "", 0
    while index < len(command):
        character = command[index]
        if quote == "'":
            quote = "" if character == "'" else quote
        elif character == "\\":
            found.append(command[index : index + 2])
            index += 1
        elif quote == '"':
            found.append(character)
            quote = "" if character == '"' else quote
        else:
            quote = character if character in "'\"" else ""
            found.append(character)
        index += 1
    return "".join(found)


def check(reading: HostReading) -> None:
    for command in commands(reading):
        assert MARK not in command or MARK not in outside_of_quotes(command), command
        if command.startswith("rm -rf -- "):
            for word in command.split()[3:]:
                assert word.startswith(("/opt/fortyninety/", "/srv/models/")), command
                assert ".." not in word and MARK not in word


def test_text_between_quotes_is_told_from_text_that_is_not() -> None:
    assert outside_of_quotes("a 'b' \"c\" \\'d\\' 'e'\"'\"'f'") == "a ' \"c\" \\'d\\' '\"'\"'"
    assert MARK in outside_of_quotes(f'echo "{MARK}"')


@generated
@given(any_reading())
def test_no_text_of_a_reading_is_in_a_command_but_as_a_quoted_word(reading: HostReading) -> None:
    check(reading)


@generated
@given(answer())
def test_an_answer_is_a_reading_or_a_line_that_says_why_not(lines: list[str]) -> None:
    check_answer(lines)


def check_answer(lines: list[str]) -> None:
    reading = Survey().process(lines)
    if not reading.readable:
        problems = [str(problem) for problem in host_problems("box1", readings.settings(), reading)]
        assert len(problems) == 1 and problems[0].isprintable()
        return
    assert all(problem for problem in host_problems("box1", readings.settings(), reading))
    assert not any(
        "/" in name
        for name in (
            *reading.snapshot.commits,
            *reading.snapshot.leftovers,
            *reading.service.environments,
            *reading.service.altered,
        )
    )
    check(reading)


def answer_of(seed: int) -> list[str]:
    """One of many more answers: what `answer` makes, by the plainer means of a random number."""
    choose = random.Random(seed)
    lines = [line for line in readings.BARE if choose.random() > 0.01]
    for _ in range(choose.randrange(6)):
        kind = choose.choice(KIND_NAMES)
        values = [plain_field(choose, form) for form in KINDS[kind].fields]
        if choose.random() < 0.03:
            values.append(choose.choice(HOSTILE))
        line = "\t".join([kind, *values]) if choose.random() > 0.03 else choose.choice(HOSTILE)
        lines.insert(choose.randint(1, max(1, len(lines) - 1)), line)
    return lines


KIND_NAMES = sorted(KINDS)
PRINTABLE = [chr(code) for code in range(32, 127)]


def plain_field(choose: random.Random, form: forms.Form) -> str:
    valid = VALID.get(form, "x")
    if " or " in form.name:
        valid = choose.choice(form.name.split(" or "))
    kind = choose.random()
    if form in (forms.TEXT, forms.LONG_TEXT) and kind > 0.05:
        return f"{''.join(choose.choices(PRINTABLE, k=choose.randrange(9)))}{MARK}'`\"$("
    if kind > 0.1:
        # Two records of one kind are rarely of one name.
        return valid[:-1] + choose.choice("0123456789abcdef") if valid[-1:].isalnum() else valid
    return choose.choice(["", "9" * 5000, valid + choose.choice(HOSTILE), choose.choice(HOSTILE)])


@settings(generated, max_examples=max(NUMBER, 500))
@given(st.integers(0, 2**64 - 1))
def test_many_more_answers_are_readings_or_say_why_not(seed: int) -> None:
    check_answer(answer_of(seed))


def test_a_command_that_does_not_quote_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself: with a quoting that does nothing it must fail."""
    monkeypatch.setattr("shlex.quote", lambda text: text)
    reading = readings.changed(
        HostReading(),
        os__distribution="debian",
        apt__packages={"nvidia-kernel-dkms": PackageState("550.163.01-2", held=True)},
        kernels__modules={MARK: None},
    )
    with pytest.raises(AssertionError):
        check(reading)
