"""Features of images for the Frechet distance: of our own classifiers, of Inception, or of a network of the user's.

Samples are judged as the pictures they would be saved as, `(B, C, H, W)` of bytes. What a user's network is given is
the same as float32 in [-1, 1], as the image models here draw them; it answers `(B, F)`, a row for each image. A
TorchScript file holds a program, which runs when it is used: take one from people that you would take a program from.
An ONNX file is run by onnxruntime, an optional extra.

Inception is the network of the literature on photographs (Heusel et al. 1706.08500), with the weights and the way of
resizing of its first implementation; the extra `fid`, torch-fidelity, brings both. Distances compare only where the
features are the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artc.artifact import ModelInfo
from artc.errors import InputError, UnknownNameError
from artc.evaluation.classifier import CLASSIFIERS, as_bytes, load_classifier
from artc.evaluation.frechet import Moments, joined, moments_of
from artc.models.cards import card
from artc.models.checksums import sha256_of

BATCH = 250
ENDINGS = (".pt", ".onnx")
INCEPTION = "inception"


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """A network that sees images: its name, what it is in a line, the SHA-256 of its file where it has one.

    `rows` answers `(B, F)` for bytes `(B, C, H, W)`; it may answer anything, and is held to that shape by `moments`.
    """

    name: str
    description: str
    sha256: str | None
    rows: Callable[[Tensor], Any]

    def moments(self, images: Tensor) -> Moments:
        """Moments of the features of images: bytes, or numbers in [-1, 1] that are rounded to bytes.

        Raises InputError when the network fails or does not answer with one row of features for each image.
        """
        with torch.no_grad():
            return joined([moments_of(self._checked(as_bytes(some))) for some in images.split(BATCH)])

    def _checked(self, images: Tensor) -> NDArray[np.float64]:
        try:
            found = self.rows(images)
        except Exception as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise InputError(
                f"The features {self.name} cannot be taken of images {tuple(images.shape)}: {said}.",
                hint="They are given float32 (B, C, H, W) in [-1, 1].",
            ) from error
        if isinstance(found, Tensor):
            found = found.detach().double().cpu().numpy()
        shape = getattr(found, "shape", None)
        if shape is None or len(shape) != 2 or shape[0] != len(images) or not shape[1]:
            was = type(found).__name__ if shape is None else f"{tuple(shape)}"
            raise InputError(
                f"The features {self.name} answer {was} for images {tuple(images.shape)}.",
                hint="They must answer (B, F), one row of features for each image.",
            )
        return np.asarray(found, dtype=np.float64)


def find_features(named: str | None, info: ModelInfo, device: torch.device) -> Features:
    """The features that a name or a file stands for, or failing that those of the data that the model was trained on.

    Names are those of the classifiers, `inception`, and `inception:WEIGHTS` for weights that are on disk already.

    Raises InputError for samples that are no images, a model whose data nobody knows, and a file that is no network;
    UnknownNameError for a name that does not exist.
    """
    check_features(named, info)
    if named is None:
        return _classifier(info.source.removeprefix("embedded:"), device)
    for data, judge in CLASSIFIERS.items():
        if named == judge.name:
            return _classifier(data, device)
    kind, _, weights = named.partition(":")
    if kind == INCEPTION:
        return _inception(weights or None, device)
    path = Path(named).expanduser()
    return _onnx(path) if path.suffix == ".onnx" else _torchscript(path, device)


def check_features(named: str | None, info: ModelInfo) -> None:
    """Raise what `find_features` would, as far as it shows without reading a file."""
    if len(info.shape) != 3 or info.shape[0] not in (1, 3):
        sizes = " x ".join(map(str, info.shape))
        raise InputError(f"The Frechet distance is one of images, and samples of {info.name} are {sizes}.")
    if named is None:
        if info.source.removeprefix("embedded:") not in CLASSIFIERS or not info.source.startswith("embedded:"):
            raise InputError(
                f"No features are known for {info.name}.",
                hint="Name them: --features inception, or a network of your own as FILE.pt or FILE.onnx.",
            )
        return
    names = [judge.name for judge in CLASSIFIERS.values()]
    if named in names or named.partition(":")[0] == INCEPTION:
        return
    path = Path(named).expanduser()
    if path.suffix not in ENDINGS:
        unknown = UnknownNameError("features", named, [*names, INCEPTION])
        unknown.hint += " Or a network of your own, as FILE.pt (TorchScript) or FILE.onnx."
        raise unknown
    if not path.is_file():
        raise InputError(f"There is no file {named!r} to take features with.")


def _classifier(data: str, device: torch.device) -> Features:
    judge, classifier = CLASSIFIERS[data], load_classifier(data, device)
    about = f"last activations of the classifier of {data}, embedded in artc"
    return Features(
        name=judge.name,
        description=about,
        sha256=str(card(judge.name)["sha256"]),
        rows=lambda images: classifier.features(unit(images, device)),
    )


def unit(images: Tensor, device: torch.device) -> Tensor:
    """Bytes as float32 in [-1, 1]."""
    return images.to(device).float() / 127.5 - 1


def _torchscript(path: Path, device: torch.device) -> Features:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls its own format old; it is one that everybody can write
            network = torch.jit.load(str(path), map_location=device).eval()
    except Exception as error:
        raise InputError(
            f"{str(path)!r} is no TorchScript file.", hint="Write one with torch.jit.save, or give a file of ONNX."
        ) from error
    return Features(
        name=path.name,
        description="TorchScript of the user",
        sha256=sha256_of(path),
        rows=lambda images: network(unit(images, device)),
    )


def _onnx(path: Path) -> Features:
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            "Features in ONNX need onnxruntime, which is not installed.", hint='pip install "artc[cpu]" brings it.'
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is said by the error below
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        asked = session.get_outputs()[0].name
    except Exception as error:
        raise InputError(
            f"{str(path)!r} is no ONNX file of a network with one input.", hint="Or give a TorchScript file, FILE.pt."
        ) from error
    return Features(
        name=path.name,
        description="ONNX of the user, run by onnxruntime",
        sha256=sha256_of(path),
        rows=lambda images: session.run([asked], {given.name: unit(images, torch.device("cpu")).numpy()})[0],
    )


def _inception(weights: str | None, device: torch.device) -> Features:
    if weights is not None and not Path(weights).expanduser().is_file():
        raise InputError(f"There is no file {weights!r} with weights of Inception.")
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except (ImportError, RuntimeError, OSError) as error:  # torchvision of another torch fails in ways of its own
        why = "is not installed" if getattr(error, "name", None) == "torch_fidelity" else "does not load"
        raise InputError(
            f"Inception's features come with torch-fidelity, which {why} ({' '.join(str(error).split())[:120]}).",
            hint='pip install "artc[fid]", with a torchvision made for your torch; or give --features FILE.pt.',
        ) from error
    path = None if weights is None else str(Path(weights).expanduser())
    try:
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], path).to(device).eval()
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(
            f"The weights of Inception cannot be loaded: {said}.",
            hint="Give them with --features inception:WEIGHTS.pth.",
        ) from error
    return Features(
        name=INCEPTION,
        description="2048 pooled features of Inception v3, by torch-fidelity",
        sha256=None if path is None else sha256_of(Path(path)),
        rows=lambda images: network(images.to(device).expand(-1, 3, -1, -1))[0],
    )
