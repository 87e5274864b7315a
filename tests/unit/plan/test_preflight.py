"""What a run refuses before its first change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fortyninety.cards.known import KnownCard, known_cards
from fortyninety.plan.preflight import host_problems, settings_problems
from fortyninety.survey.reading import HostReading, PackageState
from tests.unit.readings import bare_host, gpu, settings


def found(reading: HostReading, **changes: Any) -> list[str]:
    return [str(problem) for problem in host_problems("box1", settings(**changes), reading)]


def test_a_bare_two_card_box_is_accepted() -> None:
    assert found(bare_host()) == []
    assert list(settings_problems("box1", settings())) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"os__version": "11", "os__name": "Debian GNU/Linux 11 (bullseye)"},
            "box1: distribution is Debian GNU/Linux 11 (bullseye); expected Debian 12 or Debian 13 "
            "or Ubuntu 22.04 or Ubuntu 24.04",
        ),
        ({"os__machine": "aarch64"}, "box1: machine is aarch64; expected x86_64"),
        (
            {"kernels__modules": {}},
            "box1: kernel is not in /boot; expected an installed linux-image",
        ),
        ({"apt__archives": []}, "box1: apt is without an archive of its own release"),
        (
            {"cards__devices": []},
            "box1: GPU is none on the PCI bus; expected NVIDIA GeForce RTX 4090",
        ),
        (
            {"cards__devices": ["0x1e07"]},
            "box1: gpu_model is 'NVIDIA device 0x1e07'; expected 'NVIDIA GeForce RTX 4090'",
        ),
        (
            {"cards__devices": ["0x2204"]},
            "box1: gpu_model is 'NVIDIA GeForce RTX 3090'; expected 'NVIDIA GeForce RTX 4090'. "
            "If the box is right, set gpu_model = 'NVIDIA GeForce RTX 3090'",
        ),
        (
            {"cards__devices": ["0x2684", "0x2204"]},
            "box1: GPU is of different models: 'NVIDIA GeForce RTX 4090', 'NVIDIA GeForce RTX "
            "3090'; expected cards of one model: each gets the same share",
        ),
        (
            {"cards__gpus": [gpu(index, name="NVIDIA GeForce RTX 3090") for index in (0, 1)]},
            "box1: gpu_model is 'NVIDIA GeForce RTX 3090'; expected 'NVIDIA GeForce RTX 4090'",
        ),
        (
            {"disk__drives": [("sda", True)]},
            "box1: models_directory is on sda (rotational); expected on a local NVMe",
        ),
        (
            {"disk__drives": [("sdb", False)]},
            "box1: models_directory is on sdb; expected on a local NVMe",
        ),
        (
            {"disk__filesystem": "nfs4"},
            "box1: models_directory is on nfs4; expected on a local NVMe",
        ),
        (
            {
                "network__foreign_sockets": 1,
                "network__listeners": [
                    'LISTEN 0 511 127.0.0.1:8000 0.0.0.0:* users:(("nginx",pid=77,fd=6))'
                ],
            },
            "box1: port 8000 is taken: LISTEN 0 511 127.0.0.1:8000 0.0.0.0:* "
            'users:(("nginx",pid=77,fd=6))',
        ),
    ],
)
def test_a_host_that_does_not_fit_names_what_was_found_and_expected(
    changes: dict[str, Any], expected: str
) -> None:
    (problem,) = found(bare_host(**changes))
    assert problem.startswith(expected)


def test_a_cap_outside_the_cards_own_limits_is_refused() -> None:
    cards = [gpu(0), gpu(1, power_limit_maximum=380.0)]
    (problem,) = found(bare_host(cards__gpus=cards))
    assert problem == (
        "box1: power_limit is 400 W; expected from 150 to 380 W, the own limits of GPU 1"
    )


def test_a_cap_no_such_card_can_have_is_refused_before_there_is_a_driver() -> None:
    (problem,) = settings_problems("box1", settings(power_limit=9000))
    assert str(problem) == (
        "box1: power_limit is 9000 W; expected from 150 to 600 W for NVIDIA GeForce RTX 4090"
    )


@pytest.mark.parametrize("card", known_cards(), ids=lambda card: card.name)
def test_settings_alone_make_a_host_of_any_known_card_right(card: KnownCard) -> None:
    asked: dict[str, Any] = {
        "gpu_model": card.product,
        "power_limit": card.power.default,
        "engine": "0.32.0",
        "driver_branch": 590,
    }
    assert list(settings_problems("box1", settings(**asked))) == []
    reading = bare_host(cards__devices=[card.pci_devices[0]] * 2)
    assert found(reading, **asked) == []


def test_a_cap_is_held_to_the_range_of_the_card_that_is_named() -> None:
    model = "NVIDIA RTX 6000 Ada Generation"
    (problem,) = settings_problems("box1", settings(gpu_model=model))
    assert str(problem) == f"box1: power_limit is 400 W; expected from 100 to 300 W for {model}"


def test_a_driver_that_does_not_know_the_card_is_refused() -> None:
    asked: dict[str, Any] = {"gpu_model": "NVIDIA GeForce RTX 5090", "power_limit": 500}
    (problem,) = settings_problems("box1", settings(**asked))
    assert str(problem).startswith("box1: driver_branch is 550; expected 570 or later for NVIDIA")
    asked |= {"driver_branch": 580, "driver_kernel_modules": "proprietary"}
    (problem,) = settings_problems("box1", settings(**asked))
    assert str(problem).startswith("box1: driver_kernel_modules is 'proprietary'; expected 'auto'")


def test_more_tensor_parallelism_than_cards_is_refused() -> None:
    (problem,) = found(bare_host(), tensor_parallel_size=4)
    assert problem == "box1: tensor_parallel_size is 4; expected at most the 2 cards of the box"


def test_another_number_of_cards_than_the_inventory_says_is_refused() -> None:
    assert found(bare_host(), gpu_count=4) == ["box1: gpu_count is 2; expected 4"]


def test_a_rotational_disk_can_be_insisted_on() -> None:
    assert found(bare_host(disk__drives=[("sda", True)]), allow_non_nvme=True) == []


def test_the_port_of_the_running_service_itself_is_not_taken() -> None:
    reading = bare_host(
        network__listeners=['LISTEN 0 5 127.0.0.1:8000 0.0.0.0:* users:(("python",pid=901,fd=9))'],
        network__foreign_sockets=0,
    )
    assert found(reading) == []


def test_every_reason_is_said_at_once() -> None:
    reading = bare_host(os__machine="aarch64", cards__devices=[], disk__drives=[])
    assert len(found(reading)) == 3


def test_a_host_where_commands_do_not_run_as_root_is_one_problem() -> None:
    bare = bare_host()
    (problem,) = found(replace(bare, os=replace(bare.os, uid=1000)), gpu_count=7)
    assert "account is user id 1000; expected root" in problem
    assert found(replace(bare, os=replace(bare.os, uid=0))) == []


def test_a_host_whose_shell_did_not_answer_is_one_problem() -> None:
    (problem,) = found(HostReading())
    assert problem.startswith("box1: survey is empty")


@pytest.mark.parametrize(
    ("source", "problems"),
    [("auto", 0), ("debian-12", 0), ("uv", 0), ("distribution", 1)],
)
def test_python_that_the_distribution_does_not_have_is_refused(source: str, problems: int) -> None:
    lines = found(bare_host(), python_source=source)
    assert len(lines) == problems
    if lines:
        assert lines[0].startswith(
            "box1: python_source is 'distribution'; expected 'auto', 'debian-12' or 'uv' on Debian"
        )


def refused(**changes: Any) -> list[str]:
    return [str(problem) for problem in settings_problems("box1", settings(**changes))]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"engine": "0.6.3.post1"},
            "box1: listen_address is '127.0.0.1'; expected '0.0.0.0' for engine 0.6.3.post1",
        ),
        (
            {"attention_backend": "TRITON_ATTN"},
            "box1: attention_backend is 'TRITON_ATTN'; expected one of FLASH_ATTN, XFORMERS",
        ),
        (
            {"engine_arguments": ["--port=9000"]},
            "box1: engine_arguments is with --port=9000; expected no flag that has a setting. "
            "Set port",
        ),
        (
            {"package_index": "none"},
            "box1: wheel_directory is None; expected a folder of wheels on the host",
        ),
        (
            {"engine": "0.32.0", "driver_branch": 550},
            "box1: driver_branch is 550; expected 580 or later for engine 0.32.0",
        ),
    ],
)
def test_settings_that_the_engine_cannot_go_with_are_refused(
    changes: dict[str, Any], expected: str
) -> None:
    (problem,) = refused(**changes)
    assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("engine", "branch", "installed", "fine"),
    [
        ("0.32.0", 580, "580.95.05-1", True),
        ("0.32.0", 580, None, True),
        # The driver's stage brings branch 580 in the place of 550.
        ("0.32.0", 580, "550.163.01-2", True),
        ("0.32.0", 550, "550.163.01-2", False),
        ("0.8.5.post1", 550, "550.163.01-2", True),
    ],
)
def test_a_driver_below_the_engines_floor_is_refused_unless_a_later_one_is_on_its_way(
    engine: str, branch: int, installed: str | None, fine: bool
) -> None:
    reading = bare_host()
    if installed is not None:
        reading.apt.packages["nvidia-kernel-dkms"] = PackageState(installed, held=True)
    said = found(
        reading,
        engine=engine,
        driver_branch=branch,
        nvidia_repository="http://mirror.example/cuda",
    )
    problems = [each for each in said if "driver" in each]
    assert (problems == []) is fine, problems
