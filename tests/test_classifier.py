"""The classifier that judges samples: its card tells the truth, and its answers are the ones it was published with.

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

from artc.errors import ArtcError
from artc.evaluation.classifier import CLASSES, FEATURES, LeNet, load_classifier
from artc.models import cards
from artc.training.classifier import TrainingConfig, normalize, rate_at, shifted, train

GOLDEN = Path(__file__).parent / "golden" / "lenet.npz"
EMBEDDED = Path(str(resources.files("artc.models"))) / "embedded"
WEIGHTS, CARD = EMBEDDED / "lenet.safetensors", EMBEDDED / "lenet.json"


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[np.generic]]:
    with np.load(GOLDEN) as data:
        return dict(data)


@pytest.fixture(scope="module")
def digits(golden: dict[str, NDArray[np.generic]]) -> torch.Tensor:
    return normalize(torch.from_numpy(np.pad(golden["images"], ((0, 0), (2, 2), (2, 2)))[:, None]))


def test_the_card_describes_the_weights() -> None:
    card, content = json.loads(CARD.read_text(encoding="utf-8")), WEIGHTS.read_bytes()
    assert card["sha256"] == hashlib.sha256(content).hexdigest()
    assert card["bytes"] == len(content) < 500_000
    assert card["parameters"] == sum(value.size for value in load_file(WEIGHTS).values()) == 120_382
    assert card["seed"] == card["settings"]["seed"]
    assert card["images_seen"] == card["settings"]["images"]


def test_the_card_promises_at_least_99_percent() -> None:
    card = json.loads(CARD.read_text(encoding="utf-8"))
    assert card["test_images"] == 10_000
    assert 0.99 <= card["test_accuracy"] <= 1


def test_real_digits_are_read_correctly(golden: dict[str, NDArray[np.generic]], digits: torch.Tensor) -> None:
    assert sorted(golden["labels"].tolist()) == sorted([*range(CLASSES), *range(CLASSES)])
    assert load_classifier()(digits).argmax(dim=1).tolist() == golden["labels"].tolist()


def test_logits_are_the_published_ones(golden: dict[str, NDArray[np.generic]], digits: torch.Tensor) -> None:
    np.testing.assert_allclose(load_classifier()(digits).numpy(), golden["logits"], rtol=0, atol=1e-4)


def test_logits_are_those_of_lenet_written_in_numpy(digits: torch.Tensor) -> None:
    weights = {key: value.astype(np.float64) for key, value in load_file(WEIGHTS).items()}

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
    model = load_classifier()
    assert features.shape == (FEATURES,)
    np.testing.assert_allclose(model.features(digits[7:8])[0].numpy(), features, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model(digits[7:8])[0].numpy(), full(features, "head"), rtol=1e-4, atol=1e-4)


def test_the_classifier_is_for_judging_only() -> None:
    model = load_classifier()
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_other_weights_than_the_card_describes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "embedded").mkdir()
    content = bytearray(WEIGHTS.read_bytes())
    content[-1] ^= 1
    (tmp_path / "embedded" / "lenet.safetensors").write_bytes(content)
    (tmp_path / "embedded" / "lenet.json").write_bytes(CARD.read_bytes())
    monkeypatch.setattr(cards, "files", lambda package: tmp_path)
    with pytest.raises(ArtcError, match=r"lenet\.safetensors do not match their card"):
        load_classifier()


def test_bytes_become_the_range_from_minus_one_to_one() -> None:
    assert normalize(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([-1.0, -0.6, 1.0])


def test_an_augmented_digit_is_the_digit_moved_by_at_most_two_pixels() -> None:
    images = torch.zeros(3, 1, 32, 32, dtype=torch.uint8)
    images[:, 0, 10, 20] = torch.tensor([1, 2, 3], dtype=torch.uint8)
    picked = torch.arange(200) % 3
    moved = shifted(images, picked, 2, torch.Generator().manual_seed(0))
    where = moved[:, 0].nonzero()
    assert moved[moved > 0].tolist() == (picked + 1).tolist()
    # All 25 offsets occur: rows and columns are moved independently, and to both sides.
    assert {(row - 10, column - 20) for _, row, column in where.tolist()} == {
        (down, right) for down in range(-2, 3) for right in range(-2, 3)
    }


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
