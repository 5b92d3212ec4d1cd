"""References of a Frechet distance: the same numbers from every layout of images and of statistics, and refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch

import artc
from artc.artifact import read
from artc.errors import InputError
from artc.evaluation.classifier import feature_moments, load_classifier
from artc.evaluation.frechet import frechet, moments_of, save_moments
from artc.evaluation.reference import read_reference
from tests.integrations.made import MNIST as MNIST_FILE

MNIST = read(MNIST_FILE)
SHAPE = (1, 32, 32)


def written(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "real.npz", **arrays)
    return folder / "real.npz"


def test_the_same_images_are_read_from_every_layout(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
    layouts = {
        "first": images,
        "last": images.transpose(0, 2, 3, 1),
        "signed": images / 127.5 - 1,
        "unsigned": (images / 255).astype(np.float32),
    }
    for name, array in layouts.items():
        for other in ({}, {"labels": np.arange(5)}):
            found = read_reference(written(tmp_path, **{name: array}, **other), (3, 8, 8))
            assert np.array_equal(found.images.numpy(), images), name
    grey = read_reference(written(tmp_path, x=images[:, 0]), (1, 8, 8))
    assert np.array_equal(grey.images.numpy(), images[:, :1])
    both = read_reference(written(tmp_path, images=images, thumbnails=images[:, :, :4]), (3, 8, 8))
    assert np.array_equal(both.images.numpy(), images)
    assert both.description == "5 images in real.npz"


def test_statistics_stand_for_the_features_that_they_were_taken_of(tmp_path):
    rows = np.random.default_rng(1).normal(size=(50, 4))
    moments, other = moments_of(rows), moments_of(np.random.default_rng(2).normal(size=(30, 4)))
    common = read_reference(written(tmp_path, mu=rows.mean(axis=0), sigma=np.cov(rows.T)), SHAPE)
    save_moments(tmp_path / "ours.npz", moments)
    ours = read_reference(tmp_path / "ours.npz", SHAPE)
    expected = frechet(other, moments)
    assert frechet(other, common.moments) == pytest.approx(expected, rel=1e-9)
    assert frechet(other, ours.moments) == pytest.approx(expected, rel=1e-12)


def test_a_distance_to_real_images_needs_no_teacher(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, *SHAPE), dtype=np.uint8)
    path = written(tmp_path, images=images)
    settings = {"metric": "frechet", "nfe": 3, "solver": "euler", "against": "edm", "frechet_samples": 8}
    found = artc.evaluate(MNIST, reference=path, **settings)
    assert found.conditions["score_evals"] == 8 * (3 + 3)
    assert found.notices == ("8 samples are few for 84 features: the distances are mostly their noise.",)
    assert found.conditions["frechet"]["reference"] == "20 images in real.npz"
    moments = feature_moments(load_classifier("mnist"), torch.from_numpy(images))
    np.savez(tmp_path / "stats.npz", mu=moments.mean, sigma=moments.covariance)
    again = artc.evaluate(MNIST, reference=tmp_path / "stats.npz", **settings)
    for one, other in zip(found.rows[0].grids, again.rows[0].grids, strict=True):
        assert one.frechet == pytest.approx(other.frechet, rel=1e-9)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, r"holds no images that can be told: nothing\."),
        (
            {"labels": np.arange(4)},
            r"holds no images that can be told: labels \(4,\)\. It must hold one array of images",
        ),
        ({"a": np.zeros((4, *SHAPE)), "b": np.zeros((4, *SHAPE))}, "holds no images that can be told: a .* b "),
        (
            {"x": np.zeros((4, 1, 28, 28))},
            r"have the shape \(1, 28, 28\), and the samples are 1 x 32 x 32\. Resize or pad",
        ),
        ({"x": np.full((4, *SHAPE), 255.0)}, r"run from 255 to 255\. Floats lie in \[-1, 1\]"),
        ({"x": np.full((4, *SHAPE), np.nan)}, "run from nan to nan"),
        ({"x": np.zeros((4, *SHAPE), dtype=np.int64)}, r"are int64\. Save them as uint8"),
        ({"x": np.zeros((1, *SHAPE))}, "holds one image, which has no covariance"),
        ({"mu": np.zeros(3), "sigma": np.zeros((4, 4))}, "Moments of 2 samples pair a mean"),
        ({"mu": np.array(["a"]), "sigma": np.zeros((1, 1))}, "holds <U1 where statistics should be"),
        ({"x": np.array([None, 1])}, r"is no npz file of plain numbers\. Write one with numpy\.savez"),
    ],
)
def test_a_reference_without_images_is_refused(arrays, said, tmp_path):
    with pytest.raises(InputError, match=said):
        read_reference(written(tmp_path, **arrays), SHAPE)


def test_what_is_no_npz_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="There is no file"):
        read_reference(tmp_path / "none.npz", SHAPE)
    for name, content in (("text.npz", b"hello"), ("empty.npz", b""), ("zip.npz", b"PK\x03\x04")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="is no npz file of plain numbers"):
            read_reference(tmp_path / name, SHAPE)
    np.save(tmp_path / "one.npy", np.zeros((4, *SHAPE)))
    with pytest.raises(InputError, match="is no npz file of plain numbers"):
        read_reference(tmp_path / "one.npy", SHAPE)


def test_statistics_of_other_features_are_refused(tmp_path):
    path = written(tmp_path, mu=np.zeros(3), sigma=np.eye(3))
    with pytest.raises(InputError, match="Features of width 84 and 3 cannot be compared"):
        artc.evaluate(MNIST, metric="frechet", nfe=3, solver="euler", frechet_samples=2, reference=path)
