"""A compile killed with SIGKILL at twenty moments and resumed: are the artifacts the same, and what does keeping cost?

The moments are drawn, one in each twentieth of what an undisturbed compile takes, its start included. Time is that of
the processor, which a busy machine does not stretch; it is read from /proc, so this runs on Linux only. A run that ends
before its kill is made again, with a moment drawn anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from artc.artifact import read
from artc.checkpoints.checkpoint import checkpoint_of
from artc.checkpoints.units import Unit, Units
from artc.models.registry import find
from artc.pipeline import compile_steps
from artc.progress import drain
from artc.request import Request

from .record import record, show

SETTINGS = ("--model", "mnist", "--nfe", "3,5", "--trajectories", "32", "--device", "cpu")
KILLS = 20
PROGRAM = [sys.executable, str(Path(sysconfig.get_path("scripts")) / "artc"), "compile", *SETTINGS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The exit code of a run, its seconds on the wall and on the processor, and its stderr."""

    code: int
    seconds: float
    processor: float
    said: str


def compiled(path: Path, *extra: str, limit: float | None = None) -> Run:
    """Run the program, killing it once it has taken `limit` seconds of the processor."""
    began, taken = time.perf_counter(), 0.0
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen([*PROGRAM, "-o", str(path), *extra], stdout=subprocess.DEVNULL, stderr=said)
        while running.poll() is None:
            taken = max(taken, processor_seconds(running.pid))
            if limit is not None and taken >= limit:
                running.kill()
            time.sleep(0.01)
        said.seek(0)
        return Run(
            code=running.returncode,
            seconds=time.perf_counter() - began,
            processor=taken,
            said=said.read().decode(),
        )


def processor_seconds(pid: int) -> float:
    """What a process has taken so far, in user and system time; 0 where there is none any more."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def killed(path: Path, place: int, whole: float, rng: np.random.Generator) -> dict[str, Any]:
    """Kill a compile in one twentieth of the processor time of a whole one, resume it, and tell what came of it."""
    while True:
        moment = (place + float(rng.random())) / KILLS * whole
        cut = compiled(path, limit=moment)
        if cut.code != 0:
            break
        path.unlink()
    folder = checkpoint_of(path)
    kept = len(list(folder.glob("*.safetensors"))) if folder.is_dir() else 0
    resumed = compiled(path, "--resume")
    if resumed.code != 0:
        raise RuntimeError(resumed.said)
    facts = {
        "exit": cut.code,
        "share": moment / whole,
        "stages_done": [line.split(":")[0] for line in cut.said.splitlines()],
        "units_kept": kept,
        "processor_seconds": [round(cut.processor, 2), round(resumed.processor, 2)],
        "digest": read(path).digest,
        "left_behind": sorted(file.name for file in path.parent.iterdir() if file != path),
    }
    path.unlink()
    return facts


def overhead() -> dict[str, Any]:
    """What keeping adds to the same compile in this process: files, bytes, and the seconds inside their writing."""
    sizes: list[int] = []
    spent = 0.0

    class Watched(Units):
        def keep(self, key: str, unit: Unit) -> None:
            nonlocal spent
            began = time.perf_counter()
            Units.keep(self, key, unit)
            spent += time.perf_counter() - began
            sizes.append(self._file(key).stat().st_size)

    model = find("mnist").load(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        drain(compile_steps(model, Request(nfe=(3, 5), trajectories=32), Watched(Path(folder))))
        total = time.perf_counter() - began
    return {"writes": len(sizes), "bytes": sum(sizes), "largest": max(sizes), "seconds": spent, "of_seconds": total}


def run() -> None:
    """Compile undisturbed, then kill and resume twenty times."""
    rng = np.random.default_rng(5)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mnist.art.json"
        whole = compiled(path)
        if whole.code != 0:
            raise RuntimeError(whole.said)
        straight = read(path)
        path.unlink()
        for place in range(KILLS):
            results.append(killed(path, place, whole.processor, rng))
            print(json.dumps(results[-1]), flush=True)
    equal = sum(one["digest"] == straight.digest for one in results)
    columns = ("killed at", "stages done", "units", "CPU s", "and then", "digest")
    rows = [
        (
            f"{one['share']:.1%}",
            str(len(one["stages_done"])),
            str(one["units_kept"]),
            f"{one['processor_seconds'][0]:.1f}",
            f"{one['processor_seconds'][1]:.1f}",
            "same" if one["digest"] == straight.digest else "OTHER",
        )
        for one in results
    ]
    show(f"{equal} of {KILLS} resumed compiles of {whole.processor:.0f} s give the same artifact", columns, rows)
    record(
        "resume",
        {
            "settings": " ".join(SETTINGS),
            "seed": 5,
            "device": straight.provenance.device,
            "undisturbed": {
                "digest": straight.digest,
                "seconds": round(whole.seconds, 2),
                "processor_seconds": round(whole.processor, 2),
                "score_evals": straight.provenance.score_evals,
                "refined": sorted(straight.provenance.diagnostics["refinements"]),
            },
            "equal_digests": equal,
            "kills": KILLS,
            "left_behind": sorted({name for one in results for name in one["left_behind"]}),
            "overhead": overhead(),
            "results": results,
        },
    )


if __name__ == "__main__":
    run()
