"""The tables of Frechet distances: who is beaten, and by more than noise."""

import pytest

from tests.benchmarks.frechet_tables import beside, frechet_section, values_of
from tests.benchmarks.peers import OURS, PLANNED

ROW = ("m", "euler", 3)


def values(ours, best):
    """Distances by seed: of ours and of one peer; the others are far."""
    far = {name: dict.fromkeys(range(len(best)), 100.0) for name in PLANNED}
    return {**far, OURS: dict(enumerate(ours)), "oss": dict(enumerate(best))}


@pytest.mark.parametrize(
    ("ours", "best", "lower", "within"),
    [
        ([9.0, 12.0], [10.0, 13.0], True, True),
        ([10.0, 12.0], [9.0, 12.5], False, True),  # 0.25 above; sd of 1 and -0.5 is 1.06, twice the error 1.5
        ([10.0, 13.0], [9.0, 12.0], False, False),  # always 1 above, whatever the seeds do
        ([10.0], [9.9], False, False),  # of one seed no noise is known
        ([9.8], [9.9], True, True),
    ],
)
def test_noise_is_that_of_the_paired_difference(ours, best, lower, within):
    found = beside(ROW, values(ours, best), OURS)
    assert (found.peer, found.lower, found.within) == ("oss", lower, within)
    assert found.ratio == pytest.approx(sum(ours) / sum(best))


def test_only_seeds_that_all_have_are_compared():
    known = values([1.0, 2.0], [2.0, 1.0])
    known["gits"] = {1: 50.0}
    assert beside(ROW, known, OURS).seeds == 1
    known["gits"] = {}
    assert beside(ROW, known, OURS) is None


def test_the_section_lists_every_loss():
    facts = {"model": "m", "samples": 20}
    lines = [
        {**facts, "solver": "euler", "nfe": nfe, "method": method, "seed": 0, "frechet": distance}
        for nfe, ours in ((3, 1.0), (4, 8.0))
        for method, distance in [(OURS, ours), *((name, 5.0 + place) for place, name in enumerate(PLANNED))]
    ]
    lines.append({**facts, "solver": None, "nfe": None, "method": "test images", "seed": 0, "frechet": 0.5})
    lines.append({**facts, "solver": "heun", "nfe": 127, "method": "teacher", "seed": 0, "frechet": 0.75})
    section = frechet_section(lines)
    assert values_of(lines)["m", "euler", 4][OURS] == {0: 8.0}
    assert f"| {OURS} | `m` | 1 | 2 | 1 | 1 (50%) | 0.566 |" in section  # sqrt(1/5 * 8/5)
    assert f"| {OURS} | m | euler | 4 | {PLANNED[0]} | 8.00 | 5.00 | 1.60 |" in section
    assert "| euler | 3 | 1.00 | 5.00 |" in section
    assert "| test images | 0.50 |" in section
    assert "the 127 calls" in section
    assert frechet_section([]) == ""
