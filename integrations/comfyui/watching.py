"""What ComfyUI shows while a compilation runs, and where it may be stopped."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

WORDS = {
    "trajectories": "walking trajectories",
    "training": "learning the clock",
    "distilling": "reading schedules",
    "measuring": "measuring the solver's errors",
    "reaching": "trying steps",
    "comparing": "comparing with hand-made schedules",
    "refining": "refining",
    "checking": "checking on new noises",
}


class Watched:
    """ComfyUI's progress bar, in model calls, and the stage as text on the node; stops where its user interrupts."""

    def __init__(self, plan: Mapping[str, int]) -> None:
        self.plan = plan
        self.bar = import_module("comfy.utils").ProgressBar(sum(plan.values()))
        self.stage, self.before, self.shown = "", 0, 0.0

    def __call__(self, update: Any) -> None:
        import_module("comfy.model_management").throw_exception_if_processing_interrupted()
        fresh, now = update.stage != self.stage, time.monotonic()
        if fresh:
            self.before += self.plan.get(self.stage, 0)
            self.stage = update.stage
        if not fresh and update.done < update.total and now < self.shown + 0.1:
            return  # a small model is called thousands of times a second
        self.shown = now
        part = self.plan.get(self.stage, 0) * update.done // max(update.total, 1)
        self.bar.update_absolute(self.before + part)
        self._say(f"{WORDS.get(self.stage, self.stage)}: {update.done:,} of {update.total:,}")

    def _say(self, text: str) -> None:
        """Show a line on the node that is running, where there is a server that can."""
        server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
        try:
            running = import_module("comfy_execution.utils").get_executing_context()
            server.send_progress_text(text, running.node_id)  # type: ignore[union-attr]
        except (ImportError, AttributeError):  # an older ComfyUI, or none that serves
            pass
