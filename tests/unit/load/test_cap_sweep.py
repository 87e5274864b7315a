from __future__ import annotations

import pytest

from fortyninety.load.cap_sweep import Cap, guarding, read_caps, refused, setting

TWO = "GPU-aa-1, 400.00, 150.00, 600.00\nGPU-bb-2, 380.50, 100.00, 450.00\n"
CAPS = (Cap("GPU-aa-1", 400, 150, 600), Cap("GPU-bb-2", 380.5, 100, 450))


def test_each_card_gets_back_its_own_cap() -> None:
    assert read_caps(TWO) == CAPS
    back = (
        "nvidia-smi --id=GPU-aa-1 --power-limit=400 && nvidia-smi --id=GPU-bb-2 --power-limit=380.5"
    )
    assert setting(CAPS) == back
    assert f"'{back}'" in guarding(CAPS) and "--on-active=300" in guarding(CAPS)
    assert setting(CAPS, 300).count("--power-limit=300") == 2


@pytest.mark.parametrize(
    "line",
    [
        "",
        "No devices were found",
        "GPU-aa, [N/A], 150.00, 600.00",
        "GPU-aa';reboot;', 400.00, 150.00, 600.00",
        "GPU-aa, 400.00, 150.00, 600.00\nGPU-bb, $(reboot), 1, 2",
    ],
)
def test_what_is_no_cap_is_never_part_of_a_command(line: str) -> None:
    assert read_caps(line) is None


def test_a_cap_that_one_of_the_cards_cannot_have_is_refused() -> None:
    assert refused(CAPS, [150, 450]) is None
    assert refused(CAPS, [100, 300, 500]) == (
        "100, 500 W is outside the cards' limits, 150 to 450 W"
    )
