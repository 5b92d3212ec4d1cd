"""ART Schedule, ART Schedule Info, ART Compile, ART Policy Sampler and ART Model Sigmas for ComfyUI.

The nodes are part of artc. Their code is in `vendor/`, which the command that builds this folder fills; without it, an
artc that is installed beside ComfyUI is used.
"""

import sys
from pathlib import Path

if sys.version_info < (3, 10):  # noqa: UP036 - said here, because the rest of artc would fail with a SyntaxError
    raise ImportError(f"The artc nodes need Python 3.10 or newer, and this ComfyUI runs {sys.version.split()[0]}.")

VENDOR = Path(__file__).resolve().parent / "vendor"
if (VENDOR / "artc").is_dir() and str(VENDOR) not in sys.path:
    sys.path.insert(0, str(VENDOR))

try:
    from artc.integrations.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS, register
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] != "artc":
        raise
    raise ImportError(
        "The artc nodes are not complete: their vendor folder is missing, and no artc is installed beside ComfyUI. "
        "Build this folder with `python integrations/comfyui FOLDER_OF_COMFYUI` in a clone of artc, or install artc."
    ) from None

if "folder_paths" in sys.modules:  # as it is inside ComfyUI
    register()

WEB_DIRECTORY = "./web"

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]
