"""Why a deploy failed is found in what it printed; the files are pyinfra's output on lab hosts.

Operations without news between the first ones and those that failed were cut out of them.
"""

from __future__ import annotations

from pathlib import Path

from lab.demo.deploy_failure import find_failure

OUTPUTS = Path(__file__).parent / "deploy_outputs"


def _output(name: str) -> str:
    return (OUTPUTS / name).read_text()


def test_the_first_line_of_a_failed_gate_is_the_engines_own_error() -> None:
    failure = find_failure(_output("gate.txt"))
    assert failure.where == "Gate: Wait for a completion"
    assert failure.lines[0].startswith("vllm.service does not stay up: HFValidationError: Repo id")
    assert failure.lines[1].startswith("More: journalctl")
    assert len(failure.lines) == 2


def test_a_command_that_failed_is_shown_with_what_it_printed_and_without_pyinfras_count() -> None:
    failure = find_failure(_output("power.txt"))
    assert failure.where == "Power: Cap every card at 300 W"
    assert failure.lines[0].startswith("Job for fortyninety-power-limit.service failed")
    assert any("Failed to set power management limit" in line for line in failure.lines)
    assert not any("executed" in line or "No hosts" in line for line in failure.lines)


def test_colours_do_not_hide_where_it_failed() -> None:
    coloured = (
        _output("power.txt")
        .replace("[lab1]", "\x1b[0m[\x1b[1mlab1\x1b[0m]")
        .replace("Error: ", "\x1b[31mError: \x1b[0m")
        .replace("--> ", "\x1b[34m--> \x1b[0m")
    )
    assert find_failure(coloured) == find_failure(_output("power.txt"))


def test_what_went_well_on_another_host_is_no_cause() -> None:
    alone = _output("gate.txt")
    with_another = alone.replace("    [lab1] vllm", "    [lab2] Success\n    [lab1] vllm")
    assert with_another != alone
    assert find_failure(with_another) == find_failure(alone)


def test_of_two_failures_the_first_is_told() -> None:
    output = _output("power.txt") + _output("gate.txt")
    assert find_failure(output).where.startswith("Power: ")


def test_a_refusal_is_its_reasons() -> None:
    failure = find_failure(_output("refused.txt"))
    assert failure.where == "Preflight: refused, nothing was changed"
    assert failure.lines == (
        "- lab1: power_limit is 9000 W; expected from 150 to 600 W for NVIDIA GeForce RTX 4090",
    )


def test_a_host_out_of_reach_is_named_before_pyinfras_own_conclusion() -> None:
    failure = find_failure(_output("unreachable.txt"))
    assert failure.where == "Connecting to hosts"
    assert failure.lines[0].startswith("Could not connect ([Errno None] Unable to connect to port")
    assert failure.lines[-1] == "pyinfra error: No hosts remaining!"


def test_of_a_traceback_only_the_exception_is_told() -> None:
    failure = find_failure(_output("defect.txt"))
    assert failure.where == "An exception occurred in: broken.py:"
    assert failure.lines == ("IndexError: list index out of range",)


def test_what_is_not_pyinfras_output_is_told_as_it_is() -> None:
    assert find_failure("no module named pyinfra\n").lines == ("no module named pyinfra",)
    assert find_failure("").lines == ()
