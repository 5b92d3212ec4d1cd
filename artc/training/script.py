"""Running the scripts of this folder: what goes wrong is a sentence, not a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from artc.errors import ArtcError


def script(main: Callable[[], None]) -> None:
    """Run `main`; for an error of artc, print it and end with its exit code."""
    try:
        main()
    except ArtcError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
