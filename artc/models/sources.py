"""What `--model` may be, and how each kind is loaded.

    mnist, gaussian, ...        a name that needs no file (`artc.models.registry`)
    edm-cifar10, ...            a published model, from the cache or NVIDIA's server (`artc.models.published.catalogue`)
    edm:PATH                    a pickle of NVlabs EDM, read as data
    diffusers:FOLDER            a saved diffusers pipeline
    MODULE:ATTRIBUTE            a `ScoreModel` of one's own, or a function that makes one

Parsing imports no torch, so that a wrong name is refused at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from artc.artifact import Artifact
from artc.errors import InputError, UnknownNameError
from artc.models.published.catalogue import PUBLISHED
from artc.models.ranges import Range, limited
from artc.models.registry import MODELS

if TYPE_CHECKING:
    import torch

    from artc.models.score_model import ScoreModel

PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Which model to load, and how: what the command line says with `--model` and its companions.

    Attributes:
        kind: "name", "published", "edm", "diffusers" or "python".
        place: the name, the path, or MODULE:ATTRIBUTE.
        arguments: of the function that makes a Python model, or of the loader of a folder.
    Raises InputError or UnknownNameError for a precision or an argument that makes no sense.
    """

    kind: str
    place: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    range: Range = field(default_factory=Range)
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UnknownNameError("precision", self.precision, PRECISIONS)
        taken = self.arguments.keys() if self.kind == "python" else {"diffusers": {"null_label"}}.get(self.kind, set())
        for name in self.arguments.keys() - taken:
            known = f"It takes {', '.join(taken)}." if taken else "It takes none."
            raise InputError(f"A {self.kind} model takes no --model-arg {name}.", hint=known)
        if self.precision != "float32" and self.kind in ("name", "python"):
            raise InputError("The precision can be chosen for EDM files and diffusers folders only.")

    @property
    def dtype(self) -> torch.dtype:
        """The precision, as torch has it."""
        import torch

        dtype: torch.dtype = getattr(torch, self.precision)
        return dtype

    @property
    def typed(self) -> str:
        """As `--model` takes it."""
        return f"{self.kind}:{self.place}" if self.kind in ("edm", "diffusers") else self.place

    @property
    def text(self) -> str:
        """As an artifact names a model of this source; one of the package names itself."""
        return self.place if self.kind == "published" else f"{self.kind}:{self.place}"


def parse(text: str) -> tuple[str, str]:
    """The kind and the place of a `--model`; raises UnknownNameError, or InputError for a file without its prefix."""
    if text in MODELS:
        return "name", text
    if text in PUBLISHED:
        return "published", text
    kind, colon, place = text.partition(":")
    if colon and place:
        if kind in ("edm", "diffusers", "python"):
            return kind, place
        if all(part.isidentifier() for part in (*kind.split("."), *place.split("."))):
            return "python", text
    if text and Path(text).is_file():
        raise InputError(f"{text!r} is a file.", hint=f"If it is an EDM pickle, say --model edm:{text}.")
    if text.endswith(".pkl"):
        raise InputError(f"There is no model {text!r}, nor a file.", hint="An EDM pickle is --model edm:FILE.pkl.")
    if text and Path(text).is_dir():
        raise InputError(f"{text!r} is a folder.", hint=f"If it is a diffusers pipeline, say --model diffusers:{text}.")
    unknown = UnknownNameError("model", text, {*MODELS, *PUBLISHED})
    if unknown.hint.startswith("Known"):
        unknown.hint += " Or one of your own: edm:FILE.pkl, diffusers:FOLDER, MODULE:ATTRIBUTE."
    raise unknown


def load(source: Source, device: torch.device) -> ScoreModel:
    """The model of a source on the range that is asked for; raises InputError, saying what is wrong with it."""
    dtype = source.dtype
    if source.kind == "name":
        model = MODELS[source.place].load(device)
    elif source.kind == "python":
        from artc.models.python_source import load_python

        model = load_python(source.place, source.arguments, device)
    elif source.kind == "diffusers":
        from artc.models.diffusers.folder import load_folder

        model = load_folder(source.place, device, precision=dtype, **source.arguments)
    else:
        from artc.models.edm.loading import load_edm

        if source.kind == "published":
            from artc.models.published.store import stored

            published = PUBLISHED[source.place]
            found = stored(published)
            model = load_edm(found.path, device, precision=dtype, asked=source.range, sha256=found.sha256)
            if (model.info.shape, model.classes) != (published.shape, published.classes):
                raise InputError(
                    f"The file of {published.name}, {str(found.path)!r}, holds another network: "
                    f"shape {model.info.shape} with {model.classes} classes.",
                    hint=f"Fetch it again with artc models pull {published.name} --force.",
                )
            model = replace(model, info=replace(model.info, name=source.place, source=source.place))
        else:
            model = load_edm(Path(source.place).expanduser(), device, precision=dtype, asked=source.range)
            model = replace(model, info=replace(model.info, source=source.text))
    if source.precision != "float32":
        model = replace(model, record={**model.record, "precision": source.precision})
    return model if source.kind in ("edm", "published") else limited(model, source.range)


def source_of(
    artifact: Artifact, named: str | None = None, arguments: Mapping[str, Any] = MappingProxyType({})
) -> Source:
    """Where to find the model that an artifact was made for: as `named`, or else as the artifact itself says.

    Raises InputError for one that artc cannot find by itself, and for one made by a Python function: an artifact is
    data, and naming a function in it must not be enough to run it.
    """
    info = artifact.model
    kind, colon, place = info.source.partition(":")
    within = Range(sigma_min=info.sigma_min, sigma_max=info.sigma_max)
    noted = artifact.provenance.model_record
    precision = str(noted.get("precision", "float32"))
    kept = {"null_label": noted["null_label"]} if "null_label" in noted else {}
    if named is not None:
        chosen, where = parse(named)
        return Source(
            kind=chosen,
            place=where,
            arguments={**(kept if chosen == "diffusers" else {}), **arguments},
            range=within,
            precision=precision if chosen in ("edm", "published", "diffusers") else "float32",
        )
    if arguments:
        raise InputError("A --model-arg is for a model that --model names.")
    if place.startswith(("//", "\\\\")):  # opening it would tell a machine of the artifact's choosing who we are
        raise InputError(f"The artifact names a model on another machine, {info.source}.", hint="Name it with --model.")
    if kind in ("embedded", "analytic") and place in MODELS:
        return Source(kind="name", place=place, range=within)
    if info.source in PUBLISHED:
        return Source(kind="published", place=info.source, range=within, precision=precision)
    if colon and kind in ("edm", "diffusers"):
        return Source(kind=kind, place=place, arguments=kept, range=within, precision=precision)
    own = "Take its grid with artc.load(path).sigmas(nfe=...) and sample your model with it"
    raise InputError(
        f"The artifact was made for {info.source}, which artc does not load by itself.",
        hint=f"{own}." if info.source == "python:callable" else f"Name the model with --model. Or: {own.lower()}.",
    )


def model_for(artifact: Artifact, source: Source, device: torch.device, labels: tuple[int, ...] = ()) -> ScoreModel:
    """The model of an artifact, loaded from `source`, with the guidance of the artifact and latents of these labels.

    Raises InputError when it is another model, or its weights have changed since.
    """
    made = artifact.provenance.model_record.get("arguments")
    hint = f"It was made with --model-arg {made}." if made and source.kind == "python" else "Compile it again."
    return matched(artifact, load(source, device), labels, named=source.typed, hint=hint)


def matched(
    artifact: Artifact, model: ScoreModel, labels: tuple[int, ...] = (), *, named: str, hint: str = "Compile it again."
) -> ScoreModel:
    """A loaded model on the range, under the guidance and with the labels of an artifact that was made for it.

    Raises InputError, calling it as `named`, when the artifact was made for another.
    """
    info = artifact.model
    for what in ("sha256", "shape", "domain", "shift", "prediction"):
        have, want = getattr(model.info, what), getattr(info, what)
        if have != want:
            raise InputError(
                f"{named} is not the model that the artifact was made for: its {what} is {have}, not {want}.", hint=hint
            )
    # Ends that come out of tables and exponentials may differ in a last digit between machines.
    ends = ((model.info.sigma_min, info.sigma_min), (model.info.sigma_max, info.sigma_max))
    if not all(math.isclose(have, want, rel_tol=1e-6) for have, want in ends):
        raise InputError(f"{named} no longer has the sigma range that the artifact was made for.")
    model = replace(model, info=replace(model.info, sigma_min=info.sigma_min, sigma_max=info.sigma_max))
    from artc.models.conditioning import conditioned

    compiled_for = artifact.provenance.model_record.get("labels")
    if not labels and isinstance(compiled_for, list) and all(type(label) is int for label in compiled_for):
        labels = tuple(compiled_for)
    # A host may have guided its model itself: it is told by its description, and stays as it is.
    given = info.guidance is None or model.info.guidance == info.guidance
    return conditioned(model, labels, None if given or info.guidance is None else info.guidance.scale)
