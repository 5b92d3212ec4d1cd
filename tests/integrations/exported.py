"""A schedule to export, and what is exported read back without the package."""

import ast

from tests.integrations.made import artifact

GRID = (14.5, 4.0, 1.25, 0.1, 0.0)
"""What a schedule for Stable Diffusion may look like: 4 steps of Heun, 7 calls."""


def sd(**settings):
    return artifact(GRID, sigma_min=0.03, **settings)


def lines(made):
    """The text of an export without its comments."""
    return [line for line in made.text.splitlines() if not line.startswith("#")]


def assigned(text):
    """The names and values of a small Python program; nothing of it is run."""
    body = ast.parse(text).body
    return {one.targets[0].id: ast.literal_eval(one.value) for one in body}


def scraped(text: str) -> list[float]:
    """Numbers as ComfyUI's ManualSigmas collects them: runs of digits and points, with a sign; all else separates."""
    found, word = [], ""
    for sign in f"{text} ":
        if sign in "0123456789." or (sign in "+-" and not word):
            word += sign
        else:
            found += [float(word)] if word.strip("+-.") else []
            word = sign if sign in "+-" else ""
    return found
