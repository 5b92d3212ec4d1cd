"""The three gates that a parsed document passes, in order: version, schema, digest and meaning.

The version comes before the schema: a document of a newer major version would fail the schema in a dozen confusing
ways, and what its reader needs to hear is "upgrade". The schema is the normative one in `schemas/`, run by jsonschema;
by `artc.artifact.schema` inside a host that has no jsonschema, which is no reason to take a file on trust.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from artc.artifact.canonical import digest
from artc.artifact.rules import FORMAT, FORMAT_VERSION, meaning_defects
from artc.artifact.schema import schema_violations
from artc.errors import ArtifactError

SCHEMA = "artifact-v1.schema.json"
POLICY_BYTES = 8_000_000


def document_defects(document: Any, folder: Path | None) -> Iterator[ArtifactError]:
    """Every defect that the first failing gate finds.

    `folder` is where the document lies, and where its policy file must be; None leaves the policy file unchecked.
    """
    for gate in (_version_defects(document), _schema_defects(document), _content_defects(document, folder)):
        passed = True
        for defect in gate:
            passed = False
            yield defect
        if not passed:
            return


@functools.cache
def schema() -> dict[str, Any]:
    """The normative JSON Schema of format 1, as shipped in `artc.schemas`."""
    text = importlib.resources.files("artc.schemas").joinpath(SCHEMA).read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _version_defects(document: Any) -> Iterator[ArtifactError]:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        path = "$.format" if isinstance(document, dict) else "$"
        hint = "Artifacts are written by `artc compile`."
        yield ArtifactError("format", path, f"this is not an artc artifact: its format is not {FORMAT!r}.", hint=hint)
        return
    version = document.get("format_version")
    if not isinstance(version, str) or not re.fullmatch(r"[0-9]+\.[0-9]+", version):
        return  # the schema says it better
    major, known = version.split(".")[0], FORMAT_VERSION.split(".")[0]
    if major != known:
        newer = (len(major), major) > (len(known), known)
        message = f"format {version[:20]}, and this artc reads format {known}."
        hint = "It was made by a newer artc: upgrade artc." if newer else "No artc wrote that format: compile it again."
        yield ArtifactError("version", "$.format_version", message, hint=hint)


def _schema_defects(document: Any) -> Iterator[ArtifactError]:
    try:
        import jsonschema
    except ImportError:
        for path, message in schema_violations(document, schema()):
            yield ArtifactError("schema", path, _short(message) + ".")
        return
    for error in jsonschema.Draft202012Validator(schema()).iter_errors(document):
        yield ArtifactError("schema", error.json_path, _short(error.message) + ".")


def _content_defects(document: dict[str, Any], folder: Path | None) -> Iterator[ArtifactError]:
    found = digest(document)
    if document["digest"] != found:
        hint = "It was changed after it was written: compile it again, or get a fresh copy."
        yield ArtifactError("digest", "$.digest", f"the contents have the digest {found}.", hint=hint)
    broken = list(meaning_defects(document))
    yield from broken
    if folder is not None and document["policy"] and not any(defect.code == "policy-path" for defect in broken):
        yield from policy_file_defects(document["policy"]["file"], document["policy"]["sha256"], folder)


def policy_file_defects(name: str, sha256: str, folder: Path) -> Iterator[ArtifactError]:
    """What is wrong with the ONNX file beside an artifact: missing ("policy-missing") or another ("policy-hash")."""
    try:
        policy_content(name, sha256, folder)
    except ArtifactError as defect:
        yield defect


def policy_content(name: str, sha256: str, folder: Path) -> bytes:
    """The bytes of the ONNX file beside an artifact; raises ArtifactError when they are not those of this hash."""
    file = folder / name
    hint = "Keep the ONNX file that was written with the artifact beside it."
    try:
        with file.open("rb") as stream:
            content = stream.read(POLICY_BYTES + 1)
    except FileNotFoundError:
        raise ArtifactError("policy-missing", "$.policy.file", f"there is no file {str(file)!r}.", hint=hint) from None
    except OSError as error:
        reason = f"cannot read {str(file)!r}: {error.strerror or error}."
        raise ArtifactError("policy-missing", "$.policy.file", reason, hint=hint) from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        large = f"is larger than {POLICY_BYTES // 1_000_000} MB, which no policy is."
        message = f"{name!r} {f'has the SHA-256 {found}.' if len(content) <= POLICY_BYTES else large}"
        raise ArtifactError("policy-hash", "$.policy.sha256", message, hint=hint)
    return content


def _short(message: str, most: int = 160) -> str:
    """A message of jsonschema, which quotes the whole value, cut in its middle."""
    half = most // 2
    return message if len(message) <= most else f"{message[:half]} ... {message[-half:]}"
