"""Nothing of torchvision but its name: ComfyUI imports it, and none of the nodes used here calls it."""

import sys
import types


class _Absent:
    def __init__(self, *_: object, **__: object) -> None:
        raise NotImplementedError("The ComfyUI of the tests has no torchvision.")


def _any(name: str) -> type[_Absent]:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Absent


def _hollow(name: str) -> types.ModuleType:
    module = types.ModuleType(f"torchvision.{name}")
    module.__path__ = []
    module.__getattr__ = _any
    sys.modules[module.__name__] = module
    return module


transforms, models = _hollow("transforms"), _hollow("models")
transforms.functional = _hollow("transforms.functional")
