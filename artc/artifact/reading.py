"""Reading an artifact: from bytes to meaning, in a fixed order, each defect with its own code and JSON path.

    size -> utf-8 -> json, nesting -> duplicate-key -> non-finite, integer, surrogate
         -> format, version -> schema -> digest -> meaning (see `artc.artifact.rules`) -> policy-missing, policy-hash

Each stage can rely on those before it. Nothing in an artifact is executed, and no more than the size limit is read.
"""

from __future__ import annotations

import functools
import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from artc.artifact.artifact import Artifact
from artc.artifact.canonical import RepeatedField, ijson_defects
from artc.artifact.codec import from_document
from artc.artifact.validation import document_defects, policy_content
from artc.errors import ArtifactError, InputError

MAX_BYTES = 8_000_000

_IJSON_ORDER = ("nesting", "duplicate-key", "non-finite", "integer", "surrogate")


def read(path: str | os.PathLike[str]) -> Artifact:
    """Read an artifact; raises ArtifactError for its first defect, and InputError when there is no file to read."""
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"An artifact is read from the path of a file, not from {type(path).__name__}.")
    return loads(_bytes(path), folder=Path(path).parent)


def loads(text: bytes | str, folder: str | os.PathLike[str] | None = None) -> Artifact:
    """Read an artifact from its text; raises ArtifactError for its first defect.

    `folder` is where its policy file lies; without it that file is not checked, and its contents are not at hand.
    """
    artifact = _checked(text)
    if folder is None or artifact.policy is None:
        return artifact
    policy = artifact.policy
    content = policy_content(policy.file, policy.sha256, Path(folder))
    return replace(artifact, policy=replace(policy, content=content))


@functools.lru_cache(maxsize=16)  # samplers read one file again and again; an artifact is immutable, so one will do
def _checked(text: bytes | str) -> Artifact:
    document = _parse(text)
    for defect in document_defects(document, None):
        raise defect
    return from_document(Artifact, document)


def violations(path: str | os.PathLike[str]) -> list[ArtifactError]:
    """Every defect of the first stage that finds one; empty for an artifact that `read` accepts.

    The digest and the meaning count as one stage. Raises InputError when there is no file to read.
    """
    content = _bytes(path)
    try:
        document = _parse(content)
    except ArtifactError as defect:
        return [defect]
    return list(document_defects(document, Path(path).parent))


def _bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        with Path(path).open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"There is no file {os.fspath(path)!r}.", hint="Make one with `artc compile`.") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"Cannot read {os.fspath(path)!r}: {reason}.") from None


def _parse(text: bytes | str) -> Any:
    content = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(content) > MAX_BYTES:
        raise ArtifactError("size", "$", f"larger than {MAX_BYTES // 1_000_000} MB, which no artifact is.")
    try:
        decoded = content.decode()
    except UnicodeDecodeError as error:
        raise ArtifactError("utf-8", "$", f"byte {error.start} is not UTF-8.") from None
    try:
        document = json.loads(decoded, object_pairs_hook=_object, parse_int=_integer)
    except json.JSONDecodeError as error:
        message = f"not JSON: {error.msg} at line {error.lineno} column {error.colno}."
        raise ArtifactError("json", "$", message, hint="If it was cut short, get a fresh copy.") from None
    except RecursionError:
        raise ArtifactError("nesting", "$", "nested too deeply.") from None
    defects = sorted(ijson_defects(document), key=lambda defect: _IJSON_ORDER.index(defect.code))
    for defect in defects:
        raise defect
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    repeated = RepeatedField(fields)
    repeated.name = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
    return repeated


def _integer(digits: str) -> int:
    # Python refuses to read very long integers; anything past 20 digits is out of range all the same.
    return int(digits) if len(digits) <= 20 else 2**64
