"""The sections on the search for grids say what was recorded."""

from tests.benchmarks.search_tables import cost_section, exhaustive_section

COST = {
    "solver": "dpmpp_2m",
    "nfe": [3, 5],
    "machine": "one",
    "command": "run me",
    "results": [
        {"model": "m", "method": "gits", "calls": 1000, "seconds": 2.0, "calls_ratio": 1.0, "seconds_ratio": 1.0},
        {
            "model": "m",
            "method": "artc --effort fast",
            "calls": 3000,
            "calls_without_check": 1500,
            "seconds": 6.0,
            "seconds_without_check": 2.5,
            "calls_ratio": 1.5,
            "seconds_ratio": 1.25,
            "denoiser_share": 0.875,
        },
    ],
}


def result(compiled, best):
    """One grid beside the best."""
    return {
        "model": "m",
        "solver": "heun",
        "steps": 2,
        "nfe": 3,
        "ratio": compiled / best,
        "errors": {"compiled": compiled, "exhaustive": best},
        "stderrs": {"compiled": 0.01, "exhaustive": 0.02},
    }


def test_costs_stand_with_and_without_the_check():
    section = cost_section(COST)
    assert "| `m` | gits | 1,000 | 1,000 | 1.00 | 2.0 | 2.0 | 1.00 | - |" in section
    assert "| `m` | artc --effort fast | 3,000 | 1,500 | 1.50 | 6.0 | 2.5 | 1.25 | 87.5% |" in section
    assert "dpmpp_2m (3, 5)" in section
    assert section.count("run me") == 1


def test_the_worst_and_the_mean_ratio_are_those_of_the_rows():
    settings = {"levels": 24, "searched": 32, "matched": 96, "trials": 60, "noises": 256}
    results = [result(0.4, 0.2), result(0.1, 0.2)]
    section = exhaustive_section({"settings": settings, "results": results, "command": "x"})
    assert "at most 2.000 times its error, 1.000 in the geometric mean" in section
    assert "| `m` | heun | 2 | 3 | 0.4000 (0.0100) | 0.2000 (0.0200) | 2.000 |" in section
