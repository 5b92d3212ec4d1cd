"""The node ART Schedule Info: what is in an artifact, to be read."""

from __future__ import annotations

from typing import Any

from . import choosing, describing, folders


class ArtScheduleInfo:
    """An artifact on one screen: its model, its schedules, and how they compare with hand-made ones."""

    CATEGORY = "sampling/custom_sampling/schedulers"
    DESCRIPTION = "Shows what is in an artifact: model, noise range, schedules by solver and budget, measured errors."
    FUNCTION = "describe"
    OUTPUT_NODE = True
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("text",)
    OUTPUT_TOOLTIPS = ("The same text that the node shows.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """One widget, as ComfyUI asks for it each time it lists the nodes."""
        tooltip = f"A file in models/{folders.KEY}. Press R to see files that are new there."
        return {"required": {"artifact": (folders.artifact_names(), {"tooltip": tooltip})}}

    @classmethod
    def IS_CHANGED(cls, artifact: str | None) -> str | float:
        """What the result depends on besides the inputs: the contents of the file."""
        return folders.fingerprint(artifact)

    def describe(self, artifact: str) -> dict[str, Any]:
        """Read and describe; raises ArtcError, whose sentence ComfyUI shows."""
        text = describing.screen(choosing.opened(folders.find(artifact), artifact), artifact)
        return {"ui": {"text": [text]}, "result": (text,)}
