"""Everything that can go wrong for a user, as one small tree.

Each error carries a sentence (what is wrong and where), a hint (what to do next) and the exit code of the command line:
1 for a negative verdict on something that was read, 2 for a command that could not run.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ArtcError(Exception):
    """A mistake that one sentence explains; never shown as a traceback."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UnknownNameError(ArtcError):
    """A model, solver, method or grid that does not exist; lists the close names, or all of them."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(names)}."
        super().__init__(f"Unknown {kind} {name!r}.", hint=hint)


class BudgetError(ArtcError):
    """A number of denoiser calls that a solver cannot make, or that an artifact does not hold."""


class DenoiserError(ArtcError):
    """A denoiser that broke its contract: shape, dtype or a value that is not finite."""


class DeviceError(ArtcError):
    """A device that this machine does not have."""


class OutputError(ArtcError):
    """A file that cannot be written, or that exists already."""


class InputError(ArtcError):
    """An argument that makes no sense."""


class DownloadError(ArtcError):
    """A file that could not be fetched from the network.

    Attributes:
        passing: whether another try may do better, as after a cut connection.
    """

    def __init__(self, message: str, *, hint: str = "", passing: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.passing = passing


class ArtifactError(ArtcError):
    """An artifact that cannot be trusted.

    Attributes:
        code: a stable, short name of the defect, for programs.
        path: JSON path of the offending value, such as `$.schedules[0].sigmas`.
    """

    exit_code = 1

    def __init__(self, code: str, path: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{path}: {message}", hint=hint)
        self.code = code
        self.path = path
