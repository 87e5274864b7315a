"""How long a first deploy takes, by what is fetched and by what line."""

from __future__ import annotations

from fortyninety.plan.duration import Fetched, first_deploy_minutes, package_bytes, start_seconds

LLAMA_70B = 39_767_785_472


def box(model: str = "70B") -> Fetched:
    return Fetched(package_bytes("cuda"), model, LLAMA_70B, start_seconds("cuda"))


def test_a_slower_line_takes_in_proportion_longer() -> None:
    assert first_deploy_minutes([box()], 1.0, handed_on=True) == 20
    # 54.2 GB by 11.9 MB/s are 76 minutes.
    assert first_deploy_minutes([box()], 0.1, handed_on=True) == 85


def test_the_line_carries_a_model_that_is_handed_on_once() -> None:
    four = [box()] * 4
    once = first_deploy_minutes(four, 0.1, handed_on=True)
    for_each = first_deploy_minutes(four, 0.1, handed_on=False)
    # Three times 39.8 GB more by 11.9 MB/s, less one hand-over in the house.
    assert 155 <= for_each - once <= 170


def test_two_models_are_both_fetched() -> None:
    same = first_deploy_minutes([box(), box()], 0.1, handed_on=True)
    different = first_deploy_minutes([box(), box("other")], 0.1, handed_on=True)
    assert different >= same + 45


def test_an_engine_for_the_processor_brings_no_cuda() -> None:
    assert package_bytes("cpu") < package_bytes("cuda") / 5


def test_boxes_start_their_engines_at_the_same_time() -> None:
    # What they fetch apart, so that nothing but the starts could make the second one longer.
    one = Fetched(0, "m", 0, start_seconds("cuda"))
    assert first_deploy_minutes([one] * 8, 1.0, handed_on=True) == 10
    assert first_deploy_minutes([Fetched(0, "m", 0)] * 8, 1.0, handed_on=True) == 5
    assert start_seconds("cpu") == 0
