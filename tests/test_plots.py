"""Pictures: the right panels and curves, each image in its place, and files that are whole or not there."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

import artc
from artc.errors import InputError, OutputError
from artc.evaluation import plots
from artc.sampling.grids import GRIDS, baseline
from tests.cli import names_in
from tests.golden.example import example
from tests.toy_models import flow_model, vp_model


@pytest.fixture
def saved(monkeypatch):
    """Figures, caught instead of written."""
    figures = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    return figures


# ------------------------------------------------------------------------------------------- artifact


def test_an_artifact_has_four_panels_and_each_its_curves(saved, tmp_path):
    artifact = example()
    plots.plot_artifact(artifact, tmp_path / "a.png")
    (figure,) = saved
    warp, stiffness, nodes, errors = figure.axes
    assert [panel.get_title() for panel in figure.axes] == [
        "where the clock is spent",
        "stiffness per unit of log sigma",
        "nodes of each grid",
        "end-point error at equal NFE, heun",
    ]
    curves = {line.get_label(): line for line in warp.lines}
    assert set(curves) == {"compiled", *GRIDS} == {"compiled", *plots.OTHERS} - {"shifted"}
    assert curves["compiled"].get_ydata().tolist() == [63.0, 7.0, 0.002 / 4]
    assert stiffness.lines[0].get_ydata().tolist() == [0.0, 0.125 * 49, 2.0]
    drawn = [line.get_xdata().tolist() for line in nodes.lines]
    assert drawn[0] == [63.0, 15.0, 3.0, 0.002 / 4]
    assert drawn[1][:-1] == baseline("edm", 3, 0.002, 63.0)[:-1].tolist()
    assert drawn[2] == [63.0, 6.5, 0.002 / 4]
    assert [label.get_text() for label in nodes.get_yticklabels()] == ["heun 5", "heun 3"]
    values = {line.get_label(): line.get_ydata().tolist() for line in errors.lines}
    assert {name: values[name] for name in GRIDS} == {
        n: [v] for n, v in example().schedules[0].evaluation[0].baselines.items()
    }
    assert [0.21] in values.values()


def test_an_artifact_with_nothing_measured_says_so(saved, tmp_path):
    plots.plot_artifact(example(schedules=example().schedules[1:], stiffness=None), tmp_path / "a.png")
    assert [text.get_text() for text in saved[0].axes[3].texts] == ["nothing measured"]
    assert not saved[0].axes[1].lines


@pytest.mark.parametrize("count", [1, 2, 8])
def test_titles_fit_the_picture_and_the_legend_hides_no_node(saved, tmp_path, count):
    grids = example(schedules=example().schedules[:1]).resampled(range(7, 5 + 2 * count, 2))
    plots.plot_artifact(grids, tmp_path / "a.png")
    (figure,) = saved
    figure.canvas.draw()
    for axes in figure.axes:
        box = axes.title.get_window_extent()
        assert axes.get_position().x0 * figure.bbox.width <= box.x0 < box.x1 <= figure.bbox.width
    nodes = figure.axes[2]
    assert len(nodes.get_yticklabels()) == count
    highest = max(nodes.transData.transform(line.get_xydata())[:, 1].max() for line in nodes.lines)
    assert nodes.get_legend().get_window_extent().y0 > highest + 4


def test_errors_are_drawn_by_rising_nfe(saved, tmp_path):
    first, second = example().schedules
    late = replace(second, evaluation=(replace(first.evaluation[0], value=0.5, baselines={"edm": 0.6}),))
    plots.plot_artifact(example(schedules=(first, late)), tmp_path / "a.png")
    compiled = [line for line in saved[0].axes[3].lines if len(line.get_xdata()) == 2 and line.get_linewidth() == 2.5]
    assert compiled[0].get_xdata().tolist() == [3, 5]
    assert compiled[0].get_ydata().tolist() == [0.5, 0.21]


def test_the_picture_of_an_artifact_shows_it_in_every_panel(tmp_path):
    plots.plot_artifact(example(), tmp_path / "a.png")
    assert names_in(tmp_path) == ["a.png"]
    picture = matplotlib.image.imread(tmp_path / "a.png")[:, :, :3]
    assert picture.shape[:2] == (1050, 1650)
    quarters = [half for rows in np.array_split(picture, 2) for half in np.array_split(rows, 2, axis=1)]
    blue = np.array([0x00, 0x72, 0xB2]) / 255
    inked = [(np.abs(quarter - blue).max(axis=2) < 0.02).sum() for quarter in quarters]
    assert min(inked[0], inked[2], inked[3]) > 20  # the compiled schedule, in all panels but the stiffness
    assert all(quarter.std() > 0.03 for quarter in quarters)


# -------------------------------------------------------------------------------------------- samples


@pytest.mark.parametrize("channels", [1, 3])
def test_the_mosaic_puts_each_image_in_its_place(channels):
    count, height, width, columns = 7, 2, 3, 4
    samples = np.random.default_rng(0).uniform(-1, 1, (count, channels, height, width))
    mosaic = plots.mosaic(samples, columns)
    assert mosaic.shape == ((5, 15) if channels == 1 else (5, 15, 3))
    mosaic = mosaic.reshape(5, 15, channels)
    covered = np.zeros((5, 15), dtype=bool)
    for k in range(count):
        for row in range(height):
            for column in range(width):
                place = (k // 4 * 3 + row, k % 4 * 4 + column)
                covered[place] = True
                np.testing.assert_allclose(mosaic[place], (samples[k, :, row, column] + 1) / 2, rtol=1e-15)
    assert (mosaic[~covered] == 1).all()


def test_the_mosaic_clips_what_is_out_of_range():
    assert plots.mosaic(np.array([-3.0, -1.0, 0.0, 1.0, 2.0]).reshape(1, 1, 1, 5), 1).tolist() == [[0, 0, 0.5, 1, 1]]


def test_panels_of_samples_stand_side_by_side_under_their_names(saved, tmp_path):
    panels = {name: np.full((3, 1, 2, 2), level) for name, level in (("compiled", -1.0), ("edm", 0.0), ("logsnr", 1.0))}
    plots.plot_samples(panels, tmp_path / "a.png")
    axes = saved[0].axes
    assert [place.get_title() for place in axes] == list(panels)
    assert [place.images[0].get_array()[0, 0] for place in axes] == [0.0, 0.5, 1.0]
    assert all(left.get_position().x1 <= right.get_position().x0 for left, right in pairwise(axes))


def test_few_images_fill_the_panel(saved, tmp_path):
    plots.plot_samples({"compiled": np.zeros((3, 1, 2, 2))}, tmp_path / "a.png")
    assert saved[0].axes[0].images[0].get_array().shape == (2, 8)


def test_one_panel_of_one_image_is_a_picture(tmp_path):
    plots.save_samples({"compiled": np.zeros((1, 3, 4, 4))}, tmp_path / "a.png")
    assert matplotlib.image.imread(tmp_path / "a.png").std() > 0.02


@pytest.mark.parametrize(
    ("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_a_picture_has_the_format_of_its_ending(ending, start, tmp_path):
    path = tmp_path / f"a.{ending}"
    plots.save_samples({"compiled": np.zeros((1, 1, 4, 4))}, path)
    assert path.read_bytes().startswith(start)
    assert names_in(tmp_path) == [path.name]


def test_numbers_are_kept_exactly_and_under_their_names_only(tmp_path):
    panels = {"compiled": np.array([[0.1, -1e-300]]), "edm-free": np.array([[np.pi, 2.0]])}
    plots.save_samples(panels, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        assert {name: archive[name].tolist() for name in archive} == {n: v.tolist() for n, v in panels.items()}


# --------------------------------------------------------------------------------------------- refusal


@pytest.mark.parametrize("name", ["a", "a.txt", "a.jpeg", "png", ".png", "a.npz"])
def test_another_ending_is_refused(name, tmp_path):
    with pytest.raises(OutputError, match=r"is not a picture file\. End it in one of \.png, \.svg, \.pdf\."):
        plots.plot_artifact(example(), tmp_path / name)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("shape", "accepted"), [((1, 8, 8), True), ((3, 8, 8), True), ((4, 8, 8), False), ((16,), False)]
)
def test_only_images_can_be_a_picture_and_anything_can_be_numbers(shape, accepted, tmp_path):
    plots.check_samples_path(tmp_path / "a.npz", shape)
    if accepted:
        plots.check_samples_path(tmp_path / "a.png", shape)
    else:
        with pytest.raises(InputError, match=rf"{' x '.join(map(str, shape))} are not images\. Write them to a \.npz"):
            plots.check_samples_path(tmp_path / "a.png", shape)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("name", ["a.png", "a.npz"])
def test_a_full_disk_leaves_the_old_file(name, tmp_path, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    (tmp_path / name).write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match=r"Cannot write .*: No space left on device\."):
        plots.save_samples({"compiled": np.zeros((1, 1, 4, 4))}, tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"old"
    assert names_in(tmp_path) == [name]


def test_the_stiffness_of_a_flow_model_is_drawn_on_the_unscaled_path():
    quick = {"nfe": [5], "method": "closed-form", "trajectories": 16}
    curves = []
    for model in (flow_model, vp_model):
        axes = Figure().subplots()
        plots._draw_stiffness(axes, artc.compile(model("clusters"), **quick))
        curves.append(np.array(axes.lines[0].get_ydata()))
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-6)
