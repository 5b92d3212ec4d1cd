"""Nothing of torchaudio but its name: ComfyUI imports it, and none of the nodes used here calls it."""

import sys
import types


class _Absent:
    def __init__(self, *_: object, **__: object) -> None:
        raise NotImplementedError("The ComfyUI of the tests has no torchaudio.")


def _any(name: str) -> type[_Absent]:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Absent


def _hollow(name: str) -> types.ModuleType:
    module = types.ModuleType(f"torchaudio.{name}")
    module.__path__ = []
    module.__getattr__ = _any
    sys.modules[module.__name__] = module
    return module


transforms, functional = _hollow("transforms"), _hollow("functional")
