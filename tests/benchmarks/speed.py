"""What a user waits for: denoiser calls, the main job from the shell, and the commands that never load torch.

The main job is run twice with one seed, each in a process of its own, and the two digests are compared.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from artc.models.registry import find
from artc.models.score_model import Probe

from .record import record, show

CALLS, REPEATS = 10_000, 7
ARTC = str(Path(sys.executable).parent / "artc")


def seconds_for_calls() -> float:
    """Wall seconds of 10,000 denoiser calls of the embedded model, float32, in batches of 64."""
    probe = Probe(find("mnist").load(torch.device("cpu")))
    noise = probe.model.latents(64, seed=0).noise
    probe(noise, 1.0)
    began, before = time.perf_counter(), probe.calls
    while probe.calls - before < CALLS:
        probe(noise, 1.0)
    return time.perf_counter() - began


def main_job(folder: Path) -> dict[str, Any]:
    """`artc compile --model mnist --nfe 3,9,13` from the shell: its wall time, digest and share inside the denoiser."""
    began = time.perf_counter()
    command = [ARTC, "compile", "--model", "mnist", "--nfe", "3,9,13", "-o", str(folder / "job.art.json")]
    done = subprocess.run([*command, "--force", "--json"], check=True, capture_output=True, text=True)
    wall = time.perf_counter() - began
    facts = json.loads(done.stdout)
    seconds = facts["seconds"]
    return {"wall": wall, "seconds": seconds, "denoiser_share": seconds["denoiser"] / wall, "digest": facts["digest"]}


def quickest(arguments: list[str]) -> float:
    """Least wall seconds of a command over a few runs."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        subprocess.run([ARTC, *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return min(times)


def run() -> None:
    """Measure all of it."""
    artifact = str(files("artc.artifacts") / "mnist" / "mnist.art.json")
    with tempfile.TemporaryDirectory() as folder:
        jobs = [main_job(Path(folder)) for _ in range(2)]
    short = {"--help": ["--help"], "inspect": ["inspect", artifact], "validate": ["validate", artifact]}
    facts = {
        "seconds_for_10000_calls": seconds_for_calls(),
        "compile_wall_seconds": [job["wall"] for job in jobs],
        "compile_denoiser_share": [job["denoiser_share"] for job in jobs],
        "compile_stages": jobs[0]["seconds"],
        "same_seed_same_digest": jobs[0]["digest"] == jobs[1]["digest"],
        "digest": jobs[0]["digest"],
        "startup_seconds": {name: quickest(arguments) for name, arguments in short.items()},
    }
    rows = [
        ("10,000 denoiser calls", f"{facts['seconds_for_10000_calls']:.1f} s"),
        *(("artc compile, wall", f"{job['wall']:.1f} s, {job['denoiser_share']:.0%} in the denoiser") for job in jobs),
        ("same seed, same digest", "yes" if facts["same_seed_same_digest"] else "NO"),
        *((f"artc {name}", f"{seconds:.2f} s") for name, seconds in facts["startup_seconds"].items()),
    ]
    show("What a user waits for", ("what", "measured"), rows)
    record("speed", facts)


if __name__ == "__main__":
    run()
