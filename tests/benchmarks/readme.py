"""Write the tables of README.md from the stored results: no number in it is typed by hand.

python -m tests.benchmarks.readme
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from artc.sampling.grids import GRIDS

from .record import load

README = Path(__file__).parents[2] / "README.md"


def blocks() -> dict[str, str]:
    """The generated blocks of the README by name."""
    return {
        "endpoint": endpoint_table(),
        "edm files": edm_files_table(),
        "gap": gap_table(),
        "adapters": adapter_cost(),
        "artifact": abridged_artifact(),
    }


def endpoint_table() -> str:
    """Errors of the bundled schedules beside every baseline, the lowest of each row bold."""
    result = load("endpoint")
    columns = ["model", "solver", "calls", "**compiled**", *GRIDS]
    rows = [
        [f"`{entry['model']}`", entry["solver"], str(entry["nfe"]), *error_cells(entry["errors"])]
        for entry in result["results"]
    ]
    return markdown(columns, rows) + f"\n\n{result['noises']} noises, seed {result['seed']}; `{result['command']}`."


def edm_files_table() -> str:
    """Errors of schedules compiled from EDM files by the command line, and how soon a large file begins."""
    result = load("edm_files")
    columns = ["file", "calls", "**compiled**", *GRIDS]
    rows = [[f"`{entry['file']}`", str(entry["nfe"]), *error_cells(entry["errors"])] for entry in result["results"]]
    worst = max(result["large"], key=lambda run: run["seconds"])
    size = f"A file of {worst['parameters']:,} parameters ({worst['bytes'] / 1e6:.0f} MB, random weights)"
    start = f"its first progress bar after {worst['seconds']:.1f} s, with {worst['peak_over_file']:.1f} times the file"
    large = f"{size} shows\n{start} in memory"
    return markdown(columns, rows) + f"\n\n{large}; `{result['command']}`."


def error_cells(errors: dict[str, float]) -> list[str]:
    """The schedule's error, then those of the hand-made grids, the lowest bold."""
    lowest = min(errors, key=lambda name: errors[name])
    return [f"**{errors[n]:.3f}**" if n == lowest else f"{errors[n]:.3f}" for n in ("schedule", *GRIDS)]


def gap_table() -> str:
    """Gap of the learned clock to the lower bound, worst of the seeds, and of the closed form."""
    result = load("gap")
    rows = []
    for model in dict.fromkeys(entry["model"] for entry in result["results"]):
        runs = [entry for entry in result["results"] if entry["model"] == model]
        worst = max(entry["gap_held_out"] for entry in runs)
        closed = max(entry["closed_form_gap_held_out"] for entry in runs)
        gains = [entry["state_gain"] for entry in runs]
        share = f"{sum(gains) / len(gains):.1%}"
        rows.append([f"`{model}`", f"{worst:.2%}", f"{closed:.2%}", share])
    columns = ["model", "gap of ART-RL", "gap of the closed form", "what knowing the state could save"]
    seeds = len({entry["seed"] for entry in result["results"]})
    return markdown(columns, rows) + f"\n\nWorst of {seeds} seeds, on held-out trajectories; `{result['command']}`."


def adapter_cost() -> str:
    """What reading an artifact costs a sampler, in a sentence."""
    result = load("adapters")
    first, bare, again = (
        result["results"][name]["median_ms"]
        for name in ("file first read", "first read, without jsonschema", "file read again, and its grid picked")
    )
    checks = f"{first:.0f} ms, {bare:.0f} ms in ComfyUI"
    return (
        f"The first reading of a file checks all of it and takes {checks}; reading it again and picking a\ngrid takes "
        f"{again:.2f} ms. Sampling makes no call and no tensor more than with a grid made by hand.\n"
        f"(`{result['command']}`)"
    )


def abridged_artifact() -> str:
    """The bundled artifact, its long lists and most of its schedules left out."""
    document = json.loads((files("artc.artifacts") / "mnist" / "mnist.art.json").read_text(encoding="utf-8"))
    schedule = next(entry for entry in document["schedules"] if (entry["solver"], entry["nfe"]) == ("heun", 9))
    model, measured = document["model"], schedule["evaluation"][0]
    identity = inner({key: model[key] for key in ("name", "source", "domain")})
    scope = inner({key: model[key] for key in ("shape", "sigma_min", "sigma_max")})
    made = {key: document["provenance"][key] for key in ("artc", "method", "seed", "device", "score_evals")}
    found = inner({key: measured[key] for key in ("metric", "value", "stderr", "samples")})
    lines = [
        "{",
        f'  "format": "{document["format"]}", "format_version": "{document["format_version"]}",',
        f'  "model": {{{identity}, "sha256": "...",',
        f"            {scope}, ...}},",
        '  "schedules": [',
        f'    {{"solver": "heun", "nfe": 9, "steps": {schedule["steps"]}, "origin": "{schedule["origin"]}",',
        f'     "sigmas": {compact(schedule["sigmas"])},',
        f'     "certificate": {compact(schedule["certificate"])},',
        f'     "evaluation": [{{{found},',
        f'                     "baselines": {compact(measured["baselines"])}}}]}},',
        "    ...],",
        f'  "warp": {{"clock": {ends(document["warp"]["clock"])},',
        f'           "sigma": {ends(document["warp"]["sigma"])}, "offset": {document["warp"]["offset"]}}},',
        f'  "stiffness": {{"sigma": {ends(document["stiffness"]["sigma"])}, ...}},',
        f'  "provenance": {compact(made)},',
        f'  "created": {{"at": "{document["created"]["at"]}", ...}},',
        f'  "digest": "{document["digest"][:23]}..."',
        "}",
    ]
    return "```jsonc\n" + "\n".join(lines) + "\n```"


def inner(fields: dict[str, Any]) -> str:
    """The fields of an object on one line, without its braces."""
    return compact(fields)[1:-1]


def compact(value: Any) -> str:
    """JSON on one line, its numbers cut to four digits."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{name}": {compact(item)}' for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(compact(item) for item in value) + "]"
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


def ends(values: Sequence[float]) -> str:
    """The first two numbers and the last."""
    return f"[{values[0]:.4g}, {values[1]:.4g}, ..., {values[-1]:.4g}]"


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rendered(text: str) -> str:
    """The README with its blocks filled in."""
    for name, block in blocks().items():
        pattern = rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)"
        text, found = re.subn(
            pattern, lambda match, block=block: f"{match[1]}\n{block}\n\n{match[2]}", text, flags=re.DOTALL
        )
        if found != 1:
            raise SystemExit(f"README.md has {found} blocks named {name!r}, not one.")
    return text


if __name__ == "__main__":
    README.write_text(rendered(README.read_text(encoding="utf-8")), encoding="utf-8")
