"""The classifiers that judge samples: their cards tell the truth, and their answers are those of their weights.

`golden/lenet.npz` holds the first two MNIST test digits of each class (`index` says which), with their labels and the
logits of the embedded weights.
"""

import hashlib
import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy.signal import correlate

from artc.errors import ArtcError, UnknownNameError
from artc.evaluation.classifier import CLASSES, CLASSIFIERS, LeNet, feature_moments, load_classifier
from artc.evaluation.frechet import frechet, moments_of
from artc.models import cards
from artc.training.classifier import RECIPES, TrainingConfig, normalize, rate_at, shifted, train
from artc.training.datasets import DATASETS

GOLDEN = Path(__file__).parent / "golden" / "lenet.npz"
EMBEDDED = Path(str(resources.files("artc.models"))) / "embedded"
WEIGHTS = {data: EMBEDDED / f"{judge.name}.safetensors" for data, judge in CLASSIFIERS.items()}
CARDS = {data: path.with_suffix(".json") for data, path in WEIGHTS.items()}
PARAMETERS = {"mnist": 120_382, "cifar10": 537_898}
BYTES = {"mnist": 500_000, "cifar10": 2_500_000}
ACCURACY = {"mnist": 0.99, "cifar10": 0.8}

every = pytest.mark.parametrize("data", CLASSIFIERS)


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[np.generic]]:
    with np.load(GOLDEN) as data:
        return dict(data)


@pytest.fixture(scope="module")
def digits(golden: dict[str, NDArray[np.generic]]) -> torch.Tensor:
    return normalize(torch.from_numpy(np.pad(golden["images"], ((0, 0), (2, 2), (2, 2)))[:, None]))


def weights_of(data: str) -> dict[str, NDArray[np.float64]]:
    return {key: value.astype(np.float64) for key, value in load_file(WEIGHTS[data]).items()}


@every
def test_the_card_describes_the_weights(data: str) -> None:
    card, content = json.loads(CARDS[data].read_text(encoding="utf-8")), WEIGHTS[data].read_bytes()
    assert card["sha256"] == hashlib.sha256(content).hexdigest()
    assert card["bytes"] == len(content) < BYTES[data]
    trained = {key: value.size for key, value in load_file(WEIGHTS[data]).items()}
    counted = sum(size for key, size in trained.items() if ".running_" not in key and "num_batches" not in key)
    assert card["parameters"] == counted == PARAMETERS[data]
    assert card["seed"] == card["settings"]["seed"]
    assert card["images_seen"] == card["settings"]["images"]


@every
def test_the_card_promises_an_accuracy_worth_judging_by(data: str) -> None:
    card = json.loads(CARDS[data].read_text(encoding="utf-8"))
    assert card["test_images"] == 10_000
    assert ACCURACY[data] <= card["test_accuracy"] <= 1


def test_every_data_set_has_a_classifier_and_a_recipe_that_mirrors_where_the_data_may_be() -> None:
    assert set(CLASSIFIERS) == set(RECIPES) == set(DATASETS)
    assert all(RECIPES[name].flips == dataset.flips for name, dataset in DATASETS.items())


def test_a_data_set_without_a_classifier_names_the_close_ones() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean cifar10"):
        load_classifier("cifar")


def test_real_digits_are_read_correctly(golden: dict[str, NDArray[np.generic]], digits: torch.Tensor) -> None:
    assert sorted(golden["labels"].tolist()) == sorted([*range(CLASSES), *range(CLASSES)])
    assert load_classifier("mnist")(digits).argmax(dim=1).tolist() == golden["labels"].tolist()


def test_logits_are_the_published_ones(golden: dict[str, NDArray[np.generic]], digits: torch.Tensor) -> None:
    np.testing.assert_allclose(load_classifier("mnist")(digits).numpy(), golden["logits"], rtol=0, atol=1e-4)


def test_logits_are_those_of_lenet_written_in_numpy(digits: torch.Tensor) -> None:
    weights = weights_of("mnist")

    def block(image: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        kernels, biases = weights[f"{name}.weight"], weights[f"{name}.bias"]
        maps = np.stack([correlate(image, kernel, "valid")[0] for kernel in kernels]) + biases[:, None, None]
        count, height, width = maps.shape
        return np.maximum(maps, 0).reshape(count, height // 2, 2, width // 2, 2).max(axis=(2, 4))

    def full(vector: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        return weights[f"{name}.weight"] @ vector + weights[f"{name}.bias"]

    image = digits[7].double().numpy()
    hidden = np.maximum(full(block(block(image, "conv1"), "conv2").ravel(), "full1"), 0)
    features = np.maximum(full(hidden, "full2"), 0)
    model = load_classifier("mnist")
    assert features.shape == (84,)
    np.testing.assert_allclose(model.features(digits[7:8])[0].numpy(), features, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model(digits[7:8])[0].numpy(), full(features, "head"), rtol=1e-4, atol=1e-4)


def test_features_of_photographs_are_those_of_the_residual_network_written_in_numpy() -> None:
    weights = weights_of("cifar10")

    def block(image: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        framed = np.pad(image, ((0, 0), (1, 1), (1, 1)))
        maps = np.stack([correlate(framed, kernel, "valid")[0] for kernel in weights[f"{name}.conv.weight"]])
        norm = {key: weights[f"{name}.norm.{key}"] for key in ("weight", "bias", "running_mean", "running_var")}
        scale = norm["weight"] / np.sqrt(norm["running_var"] + 1e-5)
        return np.maximum(
            (maps - norm["running_mean"][:, None, None]) * scale[:, None, None] + norm["bias"][:, None, None], 0
        )

    def halved(maps: NDArray[np.float64]) -> NDArray[np.float64]:
        count, height, width = maps.shape
        return maps.reshape(count, height // 2, 2, width // 2, 2).max(axis=(2, 4))

    # A smooth picture: it excites what noise would leave at rest.
    rows, columns = np.meshgrid(np.linspace(-3, 3, 32), np.linspace(-2, 4, 32), indexing="ij")
    image = np.stack([np.sin(rows + columns), np.cos(2 * rows), np.tanh(columns - rows)])
    hidden = block(halved(block(halved(block(image, "stem")), "widen1")), "widen2")
    hidden = hidden + block(block(hidden, "inner1"), "inner2")
    features = block(halved(hidden), "last").mean(axis=(1, 2))
    logits = weights["head.weight"] @ features + weights["head.bias"]
    model, given = load_classifier("cifar10"), torch.from_numpy(image[None]).float()
    assert features.shape == (128,)
    np.testing.assert_allclose(model.features(given)[0].numpy(), features, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model(given)[0].numpy(), logits, rtol=1e-4, atol=1e-4)


@every
def test_the_classifier_is_for_judging_only(data: str) -> None:
    model = load_classifier(data)
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_other_weights_than_the_card_describes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "embedded").mkdir()
    content = bytearray(WEIGHTS["mnist"].read_bytes())
    content[-1] ^= 1
    (tmp_path / "embedded" / "lenet.safetensors").write_bytes(content)
    (tmp_path / "embedded" / "lenet.json").write_bytes(CARDS["mnist"].read_bytes())
    monkeypatch.setattr(cards, "files", lambda package: tmp_path)
    with pytest.raises(ArtcError, match=r"lenet\.safetensors do not match their card"):
        load_classifier("mnist")


def test_moments_of_images_are_those_of_their_features_in_batches_of_any_size(digits: torch.Tensor) -> None:
    model = load_classifier("mnist")
    expected = moments_of(model.features(digits).double().numpy())
    for batch in (3, 500):
        found = feature_moments(model, digits, batch=batch)
        assert found.count == 20
        np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.scatter, expected.scatter, rtol=1e-4, atol=1e-4)


def test_samples_are_judged_as_the_bytes_they_would_be_saved_as(digits: torch.Tensor) -> None:
    model = load_classifier("mnist")
    as_bytes = (127.5 * (digits + 1)).round().to(torch.uint8)
    # Less than half a byte beside it, and past both ends of the range.
    off = digits + 0.003 * torch.sin(torch.arange(digits.numel())).reshape(digits.shape)
    off = torch.where(digits.abs() == 1, 3 * digits, off)
    first, second = (feature_moments(model, images) for images in (as_bytes, off.double()))
    assert frechet(first, second) == pytest.approx(0, abs=1e-9 * float(np.trace(first.covariance)))
    np.testing.assert_array_equal(first.mean, second.mean)


def test_bytes_become_the_range_from_minus_one_to_one() -> None:
    assert normalize(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([-1.0, -0.6, 1.0])


@pytest.mark.parametrize("channel", [0, 2])
def test_an_augmented_image_is_the_image_moved_by_at_most_two_pixels(channel: int) -> None:
    images = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
    images[:, channel, 10, 20] = torch.tensor([1, 2, 3], dtype=torch.uint8)
    picked = torch.arange(200) % 3
    moved = shifted(images, picked, 2, torch.Generator().manual_seed(0))
    where = moved[:, channel].nonzero()
    assert moved[moved > 0].tolist() == (picked + 1).tolist()
    # All 25 offsets occur: rows and columns are moved independently, and to both sides.
    assert {(row - 10, column - 20) for _, row, column in where.tolist()} == {
        (down, right) for down in range(-2, 3) for right in range(-2, 3)
    }


def test_black_moves_in_where_an_image_is_moved_away() -> None:
    images = torch.full((1, 1, 32, 32), 9, dtype=torch.uint8)
    moved = shifted(images, torch.zeros(50, dtype=torch.int64), 3, torch.Generator().manual_seed(1))
    for one in moved[:, 0]:
        rows, columns = (one.any(dim=side) for side in (1, 0))
        # What is left is whole: a rectangle that touches the border on one side at least of each axis.
        assert torch.equal(one, 9 * (rows[:, None] & columns[None, :]).to(torch.uint8))
        assert 29 <= int(rows.sum()) <= 32
        assert bool(rows[0] | rows[-1])
        assert bool(columns[0] | columns[-1])
    assert bool((moved == 0).any())


def test_the_rate_falls_from_full_to_zero() -> None:
    config = TrainingConfig(images=1000, batch=10, rate=0.5)
    assert [rate_at(step, config) for step in (0, 50, 100)] == pytest.approx([0.5, 0.25, 0.0])


def test_training_lowers_the_loss_and_is_reproducible(
    golden: dict[str, NDArray[np.generic]], digits: torch.Tensor
) -> None:
    images = torch.from_numpy(np.pad(golden["images"], ((0, 0), (2, 2), (2, 2)))[:, None])
    labels = torch.from_numpy(golden["labels"].astype(np.int64))
    config = TrainingConfig(images=400, batch=20, shift=0)

    def losses() -> list[float]:
        torch.manual_seed(1)
        return [update.loss for update in train(LeNet(), images, labels, config)]

    first = losses()
    assert len(first) == config.steps == 20
    assert first == losses()
    assert first[0] == pytest.approx(np.log(10), abs=0.1)
    assert first[-1] < first[0]
