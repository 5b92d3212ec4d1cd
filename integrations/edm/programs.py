"""What is done to the programs of EDM and EDM2 once they are imported, and before their own command lines run.

| program | is told by | what it calls instead |
|---|---|---|
| EDM's `generate.py` | `main`, `edm_sampler`, `ablation_sampler` | the same samplers, with a scheduled network |
| EDM2's `generate_images.py` | `cmdline`, `generate_images` | the same `generate_images`, with a sampler of ours |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from artc.artifact import Artifact, Schedule
from artc.errors import InputError

from .network import scheduled
from .sampler import sampler_fn

OWN_LEVELS = "the schedule has its own noise levels"
OWN_TIME = "a schedule is compiled for steps in sigma, without a scale of its own"
REFUSED = {
    "--sigma_min": OWN_LEVELS,
    "--sigma_max": OWN_LEVELS,
    "--rho": OWN_LEVELS,
    "--disc": OWN_LEVELS,
    "--schedule": OWN_TIME,
    "--scaling": OWN_TIME,
    "--solver": "it decides which schedule is taken, so say it before the --",
}
"""Options of the programs that do not go with a schedule, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a program is run with: the artifact, which of its schedules, and the noise that is asked to be added.

    `say` notes a sentence for the user, each only once.
    """

    artifact: Artifact
    schedule: Schedule
    resample: bool
    churn: float
    say: Callable[[str], None]

    @property
    def choice(self) -> dict[str, Any]:
        """The schedule, as `scheduled` and `sampler_fn` are asked for it."""
        return {"steps": self.schedule.steps, "solver": self.schedule.solver, "resample": self.resample}

    def note_guidance(self, strength: float) -> None:
        made_for = 1.0 if self.artifact.model.guidance is None else self.artifact.model.guidance.scale
        if strength != made_for:
            self.say(f"guidance is {strength:g} here, and was {made_for:g} where the schedule was compiled.")

    def note_network(self, net: Any) -> None:
        made_for, drawn = self.artifact.model.shape, (net.img_channels, net.img_resolution, net.img_resolution)
        if drawn != made_for:
            self.say(f"this network draws {drawn}, and the schedule was compiled for {made_for}.")

    def note_rounding(self, sigmas: Iterable[float]) -> None:
        pairs = zip(sigmas, self.schedule.sigmas[:-1], strict=False)  # the 0 at the end stays what it is
        moved = max(abs(found - wanted) / wanted for found, wanted in pairs)
        if moved:
            self.say(f"this network knows certain noise levels only, up to {moved:.1%} away from the schedule's.")


Prepared = tuple[Callable[[], object], list[str]]
"""The program's own command line, and arguments that it is given beside the user's."""


def edm(program: ModuleType, launch: Launch) -> Prepared:
    """EDM: both of its samplers, on a scheduled network. `--solver` makes it take the one that has an Euler."""
    more = {"heun": [], "euler": ["--solver=euler"]}
    if launch.schedule.solver not in more:
        raise InputError(f"EDM's samplers are heun and euler, not {launch.schedule.solver}.")
    if launch.churn:
        launch.say(f"--S_churn={launch.churn:g} adds noise on the way, which the schedule was not compiled for.")
    launch.note_guidance(1.0)

    def on_schedule(stock: Callable[..., Any]) -> Callable[..., Any]:
        def sampler(net: Any, latents: Any, class_labels: Any = None, **settings: Any) -> Any:
            launch.note_network(net)
            net = scheduled(net, launch.artifact, **launch.choice)
            launch.note_rounding(net.sigmas)
            return stock(net, latents, class_labels, **settings)

        return sampler

    for name in ("edm_sampler", "ablation_sampler"):
        setattr(program, name, on_schedule(getattr(program, name)))
    return program.main, more[launch.schedule.solver]


def edm2(program: ModuleType, launch: Launch) -> Prepared:
    """EDM2: `generate_images` with a sampler of ours, less the noise levels that its command line always passes."""
    if launch.churn:
        raise InputError(f"--S_churn={launch.churn:g} adds noise on the way, which no schedule is compiled for.")
    stock, sampler = program.generate_images, sampler_fn(launch.artifact, **launch.choice)

    def noting(net: Any, **settings: Any) -> Any:
        launch.note_network(net)
        return sampler(net, **settings)

    def generate_images(*args: Any, **settings: Any) -> Any:
        launch.note_guidance(settings.get("guidance", 1.0))
        kept = {name: value for name, value in settings.items() if f"--{name}" not in REFUSED}
        return stock(*args, sampler_fn=noting, **kept)

    vars(program)["generate_images"] = generate_images
    return program.cmdline, []


PROGRAMS: tuple[tuple[set[str], Callable[[ModuleType, Launch], Prepared]], ...] = (
    ({"main", "edm_sampler", "ablation_sampler"}, edm),
    ({"cmdline", "generate_images"}, edm2),
)
"""The names that a program is told by, and what prepares it."""
