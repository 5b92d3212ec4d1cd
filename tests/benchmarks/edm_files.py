"""EDM files by the command line: schedules against edm and edm-free, and how soon a large file begins.

The files are ours, in NVlabs' format: two small trained networks (`tests/golden/trained/`), and one of the size and
architecture of EDM's CIFAR-10 network, with random weights. NVIDIA's own files were not at hand.
"""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from artc.models.edm.networks import build
from tests.cli import PROGRAM
from tests.edm_pickle import DDPMPP, trained, write_edm

from .record import record, show

NFES = "3,5,9,13,19"
CIFAR10 = {
    **DDPMPP,
    "img_resolution": 32,
    "img_channels": 3,
    "model_channels": 128,
    "channel_mult": [2, 2, 2],
}


def compiled(name: str, folder: Path) -> list[dict[str, Any]]:
    """Compile a small trained file as a user would; the errors of each budget."""
    config, state = trained(name)
    file = folder / f"{name}.pkl"
    write_edm(file, config=config, state=state)
    command = [
        str(PROGRAM),
        "compile",
        "--model",
        f"edm:{file}",
        "--nfe",
        NFES,
        "--json",
        "-o",
        str(folder / "a.art.json"),
    ]
    done = subprocess.run([*command, "--force"], capture_output=True, text=True, check=True)
    rows = []
    for schedule in json.loads(done.stdout)["schedules"]:
        found = schedule["evaluation"][0]
        errors = {"schedule": found["value"], **found["baselines"]}
        facts = {"file": name, "solver": schedule["solver"], "nfe": schedule["nfe"], "stderr": found["stderr"]}
        rows.append({**facts, "errors": errors, "sigmas": schedule["sigmas"]})
    return rows


def first_bar(folder: Path) -> dict[str, float]:
    """Seconds from the command to its first progress bar, and the most memory it has held by then."""
    file = folder / "large.pkl"
    torch.manual_seed(0)
    network = build(CIFAR10)
    write_edm(file, config=CIFAR10, state=network.state_dict())
    parameters, size = sum(weight.numel() for weight in network.parameters()), file.stat().st_size
    del network
    began = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm", "COLUMNS": "100"}
        arguments = ["compile", "--model", f"edm:{file}", "--nfe", "9", "-o", str(folder / "large.art.json")]
        os.execv(PROGRAM, [str(PROGRAM), *arguments])
    seen = b""
    while b"trajectories" not in seen:
        seen += os.read(terminal, 4096)
    seconds = time.perf_counter() - began
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(terminal)
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]
    return {"parameters": parameters, "bytes": size, "seconds": seconds, "peak": peak, "peak_over_file": peak / size}


def run() -> None:
    """Measure, show and store."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large = [first_bar(folder) for _ in range(3)]
        results = [row for file in ("digits_uncond", "digits_cond") for row in compiled(file, folder)]
    names = list(results[0]["errors"])
    rows = [(r["file"], r["solver"], str(r["nfe"]), *(f"{r['errors'][n]:.4f}" for n in names)) for r in results]
    show("Schedules compiled from EDM files", ("file", "solver", "NFE", *names), rows)
    columns = ("parameters", "file", "first bar", "peak memory", "of the file")
    sizes = [(f"{r['parameters']:,}", f"{r['bytes'] / 1e6:.0f} MB", f"{r['seconds']:.1f} s") for r in large]
    peaks = [(f"{r['peak'] / 1e6:.0f} MB", f"{r['peak_over_file']:.2f} x") for r in large]
    show("A file of the size of EDM's CIFAR-10 network", columns, [a + b for a, b in zip(sizes, peaks, strict=True)])
    record("edm_files", {"results": results, "large": large})


if __name__ == "__main__":
    run()
