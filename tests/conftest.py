"""What the tests of the numerical core share: problems with known answers, made once a session."""

from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no defect of the code: examples are never timed.
settings.register_profile("artc", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("artc")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: begun last, they would keep one process busy while the others wait."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def load():
    """A registered model on the CPU, by its name."""
    import torch

    from artc.models.registry import find

    return cache(lambda name: find(name).load(torch.device("cpu")))


@pytest.fixture(scope="session")
def field():
    """Turn a denoiser into what solvers call: D(x, sigma) with sigma a plain number."""
    import torch

    return lambda denoiser: lambda x, sigma: denoiser(x, torch.full((len(x),), sigma, dtype=x.dtype))


@pytest.fixture(scope="session")
def curvature():
    """|x''|(sigma) of N(0, 1/4) data along the trajectory of a unit latent, written independently of the package."""
    return lambda sigma: 0.25 / (0.25 + np.asarray(sigma) ** 2) ** 1.5


@pytest.fixture(scope="session")
def exact_energy(curvature):
    """Energy of one Gaussian trajectory from its exact stiffness; no model is called."""
    from artc.artifact import Coordinate
    from artc.learning.objective import energy_of
    from artc.sampling.bank import TrajectoryBank

    sigma = np.geomspace(80.0, 0.002, 255)
    return energy_of(TrajectoryBank(sigma=sigma, stiffness=curvature(sigma)[None]), Coordinate(0.002, 80.0))


@pytest.fixture(scope="session")
def energies(load):
    """(training, held-out) energies of a registered model, by its name, from a small bank."""
    from artc.artifact import Coordinate
    from artc.learning.objective import energy_of
    from artc.models.score_model import Probe
    from artc.progress import drain
    from artc.sampling.bank import build_bank

    @cache
    def of(name):
        model, count = load(name), 512 if name == "mixture-1d" else 96
        latents = model.latents(count, seed=0)
        bank = drain(build_bank(Probe(model).on, latents, sigma_min=0.002, sigma_max=80.0, nodes=64, batch=count))
        return tuple(energy_of(part, Coordinate(0.002, 80.0)) for part in bank.split(count // 4))

    return of


@pytest.fixture(scope="session")
def learned(energies):
    """What `art-rl` makes of the Gaussian with the settings that users get; two seconds."""
    from artc.learning.methods import METHODS, Task
    from artc.progress import drain

    history = []
    found = drain(METHODS["art-rl"](Task(energy=energies("gaussian")[0])), history.append)
    return found, tuple(history)


@pytest.fixture
def direct(monkeypatch):
    """No proxy of the tester's stands between a download and its server."""
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    """A real server on this machine, its behaviour to be switched."""
    from tests.http_server import serving

    with serving() as state:
        yield state


@pytest.fixture
def target(tmp_path):
    """Where a download is to go; its folder is not there yet."""
    return tmp_path / "cache" / "model.pkl"
