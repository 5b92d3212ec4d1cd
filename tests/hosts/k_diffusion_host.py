"""The real k-diffusion, without its package: the two of its modules that sample, and nothing left behind.

Importing `k_diffusion` itself asks for 17 packages, among them a torchvision that does not load beside a CPU build of
torch. Its `sampling` and `external` need none of them, so they are imported under a bare package; the one module of
torchvision that they name, and never call here, is an empty one for as long as the import takes.
"""

import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace

FOLDER = Path(__file__).parents[2] / ".hosts" / "k_diffusion"
"""Where `make test-hosts` puts it, with torchsde and torchdiffeq beside it."""

STUBS = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")


@cache
def k_diffusion(folder: Path = FOLDER) -> SimpleNamespace:
    """`k_diffusion.sampling` and `k_diffusion.external` out of a folder of packages, imported once.

    What they import on the way stays imported, as after any import; the stubs and the bare package do not, so that
    whoever looks for torchvision finds what was there before.
    """
    stand_ins = {name: ModuleType(name) for name in (*STUBS, "k_diffusion")}
    stand_ins["torchvision.transforms"].functional = stand_ins["torchvision.transforms.functional"]
    stand_ins["k_diffusion"].__path__ = [str(folder / "k_diffusion")]
    with _importable(folder, stand_ins), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that are not ours to mend
        names = ("sampling", "external")
        return SimpleNamespace(**{name: importlib.import_module(f"k_diffusion.{name}") for name in names})


@contextmanager
def _importable(folder: Path, stand_ins: dict[str, ModuleType]) -> Iterator[None]:
    before = {name: sys.modules[name] for name in stand_ins if name in sys.modules}
    sys.modules.update(stand_ins)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name in stand_ins or name.startswith("k_diffusion.")]:
            del sys.modules[name]
        sys.modules.update(before)
