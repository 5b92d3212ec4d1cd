"""Features of the Frechet distance, and the distances: the same numbers whoever computes them, and refusals."""

import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import artc
from artc.artifact import read
from artc.errors import InputError, UnknownNameError
from artc.evaluation.classifier import as_bytes, feature_moments, load_classifier
from artc.evaluation.endpoint import Teacher
from artc.evaluation.features import find_features
from artc.evaluation.frechet import frechet, moments_of
from artc.evaluation.noises import all_latents
from artc.models.score_model import Probe
from artc.sampling.solvers import find_solver
from artc.sampling.trajectories import sample
from tests.integrations.made import MNIST as MNIST_FILE

CPU = torch.device("cpu")
MNIST = read(MNIST_FILE)
SHAPE = (1, 32, 32)


@pytest.fixture(scope="module")
def images():
    return torch.rand((40, *SHAPE), generator=torch.Generator().manual_seed(3)) * 2 - 1


class Pixels(nn.Module):
    """Eight features anybody can compute: the means of the rows, four at a time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(1, 3)).reshape(-1, 8, 4).mean(dim=2)


def scripted(folder: Path, network: nn.Module) -> Path:
    path = folder / "features.pt"
    torch.jit.save(torch.jit.trace(network, torch.zeros((2, *SHAPE))), str(path))
    return path


def onnx_of_the_classifier(path: Path) -> Path:
    """LeNet's features as a graph, written node by node."""
    weights = {name: value.numpy() for name, value in load_classifier("mnist").state_dict().items()}
    nodes, last = [], "x"
    for layer in ("conv1", "conv2"):
        nodes.append(helper.make_node("Conv", [last, f"{layer}.weight", f"{layer}.bias"], [layer], kernel_shape=[5, 5]))
        nodes.append(helper.make_node("Relu", [layer], [f"{layer}r"]))
        nodes.append(helper.make_node("MaxPool", [f"{layer}r"], [f"{layer}p"], kernel_shape=[2, 2], strides=[2, 2]))
        last = f"{layer}p"
    nodes.append(helper.make_node("Flatten", [last], ["flat"]))
    last = "flat"
    for layer in ("full1", "full2"):
        nodes.append(helper.make_node("Gemm", [last, f"{layer}.weight", f"{layer}.bias"], [layer], transB=1))
        nodes.append(helper.make_node("Relu", [layer], [f"{layer}r"]))
        last = f"{layer}r"
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *SHAPE])
    answer = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n", 84])
    held = [numpy_helper.from_array(value, name) for name, value in weights.items() if not name.startswith("head")]
    graph = helper.make_graph(nodes, "lenet", [given], [answer], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


# ------------------------------------------------------------------------------------------- features


def test_the_embedded_classifier_is_the_default_and_its_features_are_its_own(images):
    seen = find_features(None, MNIST.model, CPU)
    named = find_features("lenet", MNIST.model, CPU)
    expected = feature_moments(load_classifier("mnist"), images)
    for found in (seen, named):
        moments = found.moments(images)
        assert np.array_equal(moments.mean, expected.mean)
        assert np.array_equal(moments.scatter, expected.scatter)
    assert seen.sha256 == "954bcc8513958b41678a2d069ad4350a4c3cdf57a34767e18e559e43c768372b"


def test_torchscript_and_onnx_of_the_classifier_agree_with_it(images, tmp_path):
    class Exported(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = load_classifier("mnist")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.classifier.features(x)

    expected = find_features("lenet", MNIST.model, CPU).moments(images)
    files = (scripted(tmp_path, Exported()), onnx_of_the_classifier(tmp_path / "lenet.onnx"))
    for file in files:
        found = find_features(str(file), MNIST.model, CPU)
        moments = found.moments(images)
        np.testing.assert_allclose(moments.mean, expected.mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(moments.scatter, expected.scatter, rtol=1e-4, atol=1e-4)
        assert frechet(moments, expected) < 1e-3
        assert len(found.sha256) == 64


def test_samples_are_judged_as_the_bytes_they_would_be_saved_as():
    images = torch.tensor([-3.0, -1.0, -0.9961, 0.0, 0.999, 2.0]).reshape(6, 1, 1, 1)
    assert as_bytes(images).flatten().tolist() == [0, 0, 0, 128, 255, 255]
    assert as_bytes(as_bytes(images)) is not None
    assert torch.equal(as_bytes(as_bytes(images)), as_bytes(images))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x: x, r"answer \(5, 1, 32, 32\) for images \(5, 1, 32, 32\)\. They must answer \(B, F\)"),
        (lambda x: x.mean(dim=(1, 2, 3)), r"answer \(5,\) for images"),
        (lambda x: x.flatten(1)[:2], r"answer \(2, 1024\) for images"),
        (lambda x: x.flatten(1)[:, :0], r"answer \(5, 0\) for images"),
        (lambda x: (x.flatten(1),), "answer tuple for images"),
        (lambda x: x.reshape(7, -1), "cannot be taken of images .*They are given float32"),
        (lambda x: x.flatten(1) / 0, "NaN or infinity"),
    ],
)
def test_features_of_a_wrong_shape_are_refused(answer, said, monkeypatch):
    found = replace(find_features("lenet", MNIST.model, CPU), rows=lambda images: answer(images.float()))
    with pytest.raises(InputError, match=said):
        found.moments(torch.zeros((5, *SHAPE), dtype=torch.uint8))


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        (
            "lenett",
            UnknownNameError,
            r"Unknown features 'lenett'\. Did you mean lenet or resnet\? Or a network",
        ),
        ("net.pkl", UnknownNameError, "Unknown features 'net.pkl'"),
        ("none.pt", InputError, r"There is no file 'none\.pt'"),
        ("none.onnx", InputError, r"There is no file 'none\.onnx'"),
        ("text.pt", InputError, r"'text\.pt' is no TorchScript file\. Write one with torch\.jit\.save"),
        ("text.onnx", InputError, r"'text\.onnx' is no ONNX file of a network with one input"),
        ("inception:none.pth", InputError, r"There is no file 'none\.pth' with weights of Inception"),
    ],
)
def test_what_is_no_network_is_refused_by_a_sentence(name, kind, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in ("text.pt", "text.onnx", "net.pkl"):
        (tmp_path / file).write_text("hello", encoding="utf-8")
    with pytest.raises(kind, match=said):
        find_features(name, MNIST.model, CPU)


def test_a_model_whose_data_nobody_knows_asks_for_features():
    unknown = replace(MNIST.model, source="edm:net.pkl", name="net")
    with pytest.raises(InputError, match=r"No features are known for net\. Name them: --features inception"):
        find_features(None, unknown, CPU)
    with pytest.raises(InputError, match="samples of mnist are 4 x 8 x 8"):
        find_features("lenet", replace(MNIST.model, shape=(4, 8, 8)), CPU)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (ModuleNotFoundError("No module named 'torch_fidelity'", name="torch_fidelity"), "which is not installed"),
        (RuntimeError("operator torchvision::nms does not exist"), r"does not load \(operator torchvision::nms"),
    ],
)
def test_inception_without_its_extra_says_what_to_install(broken, said, monkeypatch):
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name.startswith("torch_fidelity"):
                raise broken

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    for name in [name for name in sys.modules if name.startswith("torch_fidelity")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(InputError, match=rf'{said}.*pip install "artc\[fid\]"'):
        find_features("inception", MNIST.model, CPU)


def test_inception_is_given_bytes_in_three_channels_and_its_first_answer_is_taken(monkeypatch, tmp_path):
    """With a stand-in that has torch-fidelity's signature: a name, names of features, a path of weights."""
    asked = []

    class StandIn(nn.Module):
        def __init__(self, name, features, feature_extractor_weights_path=None):
            super().__init__()
            asked.append((name, features, feature_extractor_weights_path))

        def forward(self, x):
            assert x.dtype == torch.uint8
            assert x.shape[1:] == (3, 32, 32)
            return (x.float().mean(dim=(2, 3)),)

    module = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = StandIn
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    weights = tmp_path / "w.pth"
    weights.write_bytes(b"x")
    pictures = torch.arange(4, dtype=torch.uint8).reshape(4, 1, 1, 1).expand(4, 1, 32, 32)
    for name in ("inception", f"inception:{weights}"):
        assert find_features(name, MNIST.model, CPU).moments(pictures).mean.tolist() == [1.5, 1.5, 1.5]
    assert asked == [("inception-v3-compat", ["2048"], path) for path in (None, str(weights))]


# ------------------------------------------------------------------------------------------ distances


def test_the_distance_is_that_of_the_teachers_samples_by_hand(tmp_path, load):
    path = scripted(tmp_path, Pixels())
    found = artc.evaluate(
        MNIST,
        metric="frechet",
        nfe=3,
        solver="euler",
        against="edm",
        frechet_samples=12,
        teacher_steps=4,
        features=path,
    )
    model = load("mnist")
    latents = all_latents(model, 12, 0)

    def moments(sigmas, solver):
        drawn = sample(Probe(model).on, latents, sigmas, find_solver(solver))
        pixels = (127.5 * (drawn + 1)).round().clamp(0, 255) / 127.5 - 1
        return moments_of(pixels.float().mean(dim=(1, 3)).reshape(-1, 8, 4).mean(dim=2).double().numpy())

    real = moments(Teacher(steps=4).sigmas(model.info), "heun")
    (row,) = found.rows
    for scored in row.grids:
        assert scored.frechet == pytest.approx(frechet(moments(scored.sigmas, "euler"), real), rel=1e-6)
        assert scored.error is None
    assert "teacher's own samples" in found.conditions["frechet"]["reference"]
    assert found.conditions["score_evals"] == 12 * (7 + 3 + 3)
    assert found.notices == ("The teacher's 7 calls are few beside 3: its own error is part of every figure.",)


def test_few_samples_for_many_features_are_remarked_on():
    found = artc.evaluate(
        MNIST, metric="frechet", nfe=3, solver="euler", against="edm", frechet_samples=3, teacher_steps=8
    )
    assert found.notices == ("3 samples are few for 84 features: the distances are mostly their noise.",)
