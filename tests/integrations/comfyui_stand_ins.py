"""Stand-ins for the parts of ComfyUI that the nodes touch; the real ones are met in `tests/hosts`.

Each keeps to what ComfyUI 0.3.75 does: names below a folder, extensions from a table, one registry of progress handlers
for each prompt, `model_sampling` behind `get_model_object`.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any


class StandInFolderPaths(ModuleType):
    """`folder_paths`: a table of model folders, listed afresh each time."""

    def __init__(self, base: Path) -> None:
        super().__init__("folder_paths")
        self.models_dir = str(base / "models")
        self.folder_names_and_paths: dict[str, tuple[list[str], set[str]]] = {}

    def get_folder_paths(self, kind: str) -> list[str]:
        return self.folder_names_and_paths[kind][0][:]

    def get_filename_list(self, kind: str) -> list[str]:
        folders, extensions = self.folder_names_and_paths[kind]
        found = set()
        for folder in folders:
            for place, _, names in os.walk(folder, followlinks=True):
                found |= {os.path.relpath(Path(place, name), folder) for name in names}
        return sorted(name for name in found if not extensions or Path(name).suffix.lower() in extensions)


class StandInProgress(ModuleType):
    """`comfy_execution.progress`: handlers by name, told when a node starts."""

    class ProgressHandler:
        def __init__(self, name: str) -> None:
            self.name = name

        def start_handler(self, node_id: str, state: object, prompt_id: str) -> None:
            raise AssertionError("a handler that does nothing")

    def __init__(self) -> None:
        super().__init__("comfy_execution.progress")
        self.handlers: dict[str, Any] = {}

    def new_prompt(self) -> None:
        self.handlers = {}

    def add_progress_handler(self, handler: Any) -> None:
        self.handlers[handler.name] = handler

    def start_node(self) -> None:
        for handler in self.handlers.values():
            handler.start_handler("7", {}, "prompt")


class StandInConst:
    """`comfy.model_sampling.CONST`: what flow models are, mixed into a class with a table of sigmas."""


class StandInEps:
    """`comfy.model_sampling.EPS`, and whatever else is not a flow."""


def stand_in_model(parametrisation: type, sigma_min: float, sigma_max: float, name: str = "SDXL") -> Any:
    """A MODEL: `get_model_object("model_sampling")` has the parametrisation, sigma_min and sigma_max."""
    sampling = type("ModelSampling", (parametrisation,), {"sigma_min": sigma_min, "sigma_max": sigma_max})()
    model = type(name, (), {})()
    return SimpleNamespace(model=model, get_model_object={"model_sampling": sampling}.__getitem__)


@contextmanager
def stand_ins(base: Path) -> Iterator[SimpleNamespace]:
    """A ComfyUI without ComfyUI, its models in `base`, for as long as the block runs."""
    sampling = ModuleType("comfy.model_sampling")
    sampling.CONST, sampling.EPS = StandInConst, StandInEps  # type: ignore[attr-defined]
    modules = {
        "folder_paths": StandInFolderPaths(base),
        "comfy": ModuleType("comfy"),
        "comfy.model_sampling": sampling,
        "comfy_execution": ModuleType("comfy_execution"),
        "comfy_execution.progress": StandInProgress(),
    }
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield SimpleNamespace(
            folder_paths=modules["folder_paths"],
            progress=modules["comfy_execution.progress"],
            artifacts=base / "models" / "art_schedules",
        )
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
