"""A host that loses its power in a deploy; `bench/power_cuts.py` does it at random moments."""

from __future__ import annotations

import pytest

from bench.power_cuts import cut_and_deploy, undisturbed_seconds
from lab.hosts import LabHost

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]


def test_a_deploy_after_a_power_cut_converges_in_one_run(converged: LabHost) -> None:
    whole = undisturbed_seconds(converged)
    for share in (0.3, 0.7):
        cut = cut_and_deploy(LabHost.read(converged.name), whole * share)
        assert cut.converged, cut
