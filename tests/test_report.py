"""The page of an evaluation: well formed, complete in itself, true to the numbers, and harmless whatever it shows."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

import artc
from artc.artifact import loads
from artc.evaluation.baselines import OURS
from artc.evaluation.charts import _ticks, error_chart, grid_chart
from artc.evaluation.diagnostics import figure
from artc.evaluation.error_plot import colour_of, plot_drawn, plot_evaluation, square
from artc.evaluation.report import page, png, text
from artc.evaluation.report_style import STYLE
from artc.sampling.grids import GRIDS
from tests.cli import compiled

VOID = {"meta", "link", "img", "br", "hr"}
HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>\x1b[31m\u202egnp.exe ${7*7} </style></title>"


class Parsed(HTMLParser):
    """A page as a browser takes it: that every element is closed where it should be, and what it holds."""

    def __init__(self, content: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words += data

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def report():
    return artc.evaluate(loads(compiled("mixture-64d")), samples=16, teacher_steps=8)


@pytest.fixture(scope="module")
def drawn(report):
    """Samples of two schedules as if they were pictures, one grey and one in colours."""
    rng = np.random.default_rng(0)
    shapes = ((4, 1, 8, 8), (4, 3, 8, 8))
    names = ["teacher, 15 calls", OURS, *report.against]
    return [
        (row, {name: rng.uniform(-1, 1, shape) for name in names})
        for row, shape in zip(report.rows, shapes, strict=True)
    ]


@pytest.fixture(scope="module")
def made(report, drawn):
    return page(report, drawn)


def test_the_page_is_well_formed_and_has_what_a_reader_needs(made):
    parsed = Parsed(made)
    assert parsed.open == []
    assert made.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert len(parsed.of("h1")) == len(parsed.of("main")) == 1
    charts = [attributes for attributes in parsed.of("svg") if "role" in attributes]
    assert len(parsed.of("title")) == 1 + len(charts) == 1 + 1 + 2
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = {word for _, attributes in parsed.elements for word in (attributes.get("aria-labelledby") or "").split()}
    assert named <= set(ids)
    assert all(attributes.get("scope") for attributes in parsed.of("th"))
    assert len(parsed.of("img")) == 2 * 6
    assert all(attributes["alt"] for attributes in parsed.of("img"))
    assert all(attributes.get("role") == "img" or "aria-hidden" in attributes for attributes in parsed.of("svg"))


def test_the_page_fetches_nothing_and_runs_nothing(made):
    parsed = Parsed(made)
    assert not {"script", "iframe", "object", "embed", "form", "base", "a"} & {name for name, _ in parsed.elements}
    for _, attributes in parsed.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "srcset", "action", "data", "xlink:href"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert "url(" not in made
    assert "@import" not in made
    assert not re.search(r"https?:|//[a-z]", re.sub(r'base64,[^"]*', "", made))
    (policy,) = [meta["content"] for meta in parsed.of("meta") if meta.get("http-equiv")]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")


def test_light_dark_narrow_and_paper_are_thought_of():
    for query in ("prefers-color-scheme: dark", "max-width: 34rem", "@media print"):
        assert query in STYLE
    colours = re.findall(r"--([\w-]+):", STYLE.split("@media print")[0])
    light, dark = (part.split("}")[0] for part in STYLE.split(":root {")[1:3])
    assert set(re.findall(r"--([\w-]+): #", light)) == set(re.findall(r"--([\w-]+): #", dark))
    assert {f"--{name}" for name in (OURS, *GRIDS, "shifted", "more-0")} <= {f"--{name}" for name in colours}
    assert STYLE.count("{") == STYLE.count("}")


def luminance(colour):
    """WCAG 2.1, relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [1, 2])
def test_words_and_curves_stand_out_from_the_paper(scheme):
    """WCAG 2.1: a contrast of 4.5 for text, 3 for what is drawn."""
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", STYLE.split(":root {")[scheme].split("}")[0]))
    for name, colour in colours.items():
        high, low = sorted((luminance(colour), luminance(colours["paper"])), reverse=True)
        least = {"line": 1.0, "tint": 1.0, "paper": 1.0, "ink": 7, "soft": 4.5, "win": 4.5, "loss": 4.5}.get(name, 3.0)
        assert (high + 0.05) / (low + 0.05) >= least, name


def test_every_number_of_the_tables_is_on_the_page_and_the_best_is_bold(report, made):
    body = made[made.index("<tbody>") : made.index("</table>")]
    lines = re.findall(r"<tr>(.*?)</tr>", body)
    assert len(lines) == len(report.rows)
    for row, line in zip(report.rows, lines, strict=True):
        cells = re.findall(r'<td class="(ours|theirs)">(.*?)</td>', line)
        assert [re.sub(r"<small>.*?</small>|<.*?>", "", cell).strip() for _, cell in cells] == [
            figure(scored.error) for scored in row.grids
        ]
        (bold,) = [place for place, (_, cell) in enumerate(cells) if "<strong>" in cell]
        assert bold == min(range(len(row.grids)), key=lambda place: row.grids[place].error)
    words = Parsed(made).words
    assert report.artifact.digest in words
    for row in report.rows:
        assert ", ".join(f"{sigma:.8g}" for sigma in row.schedule.sigmas) in words


def test_the_charts_have_a_mark_for_each_number_at_its_height(report):
    chart = error_chart(report.rows, "endpoint")
    groups = re.findall(r'<g class="g-([\w-]+)">(.*?)</g>', chart)
    assert [name for name, _ in groups] == [*report.against, OURS], "ours last, above the others"
    marks = dict(groups)[OURS]
    heights = [float(y) for y in re.findall(r'<circle class="mark" cx="[\d.]+" cy="([\d.]+)"', marks)]
    errors = [row.ours.error for row in report.rows]
    assert len(heights) == len(errors)
    # Logarithmic: the same ratio is the same distance, here and between two lines of the axis.
    rules = [float(y) for y in re.findall(r'class="rule" d="M46.0 ([\d.]+)H', chart)]
    ticks = [float(tick) for tick in re.findall(r'text-anchor="end">([\d.e-]+)<', chart)]
    slope = (rules[-1] - rules[0]) / np.log(ticks[-1] / ticks[0])
    assert (heights[1] - heights[0]) == pytest.approx(slope * np.log(errors[1] / errors[0]), abs=0.2)


def test_a_grids_nodes_are_drawn_from_sigma_max_to_0(report):
    chart = grid_chart(report.rows[1], 0.002)
    marks = dict(re.findall(r'<g class="g-([\w-]+)">(.*?)</g>', chart))
    places = [float(x) for x in re.findall(r'cx="([\d.]+)"', marks[OURS])]
    assert len(places) == len(report.rows[1].schedule.sigmas)
    assert places == sorted(places)
    assert places[-1] == 344.0
    assert '<text x="344.0"' in chart


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.02, 80, [0.1, 1.0, 10.0]),
        (0.1, 1.0, [0.1, 0.2, 0.5, 1.0]),
        (0.12, 0.35, [0.15, 0.2, 0.3]),
        (1e-6, 1e6, [1e-6, 1e-4, 1e-2, 1.0, 100.0, 1e4, 1e6]),
    ],
)
def test_the_lines_of_an_axis_are_round_numbers_and_not_too_many(low, high, expected):
    assert _ticks(low, high) == pytest.approx(expected)


def test_whatever_an_artifact_says_is_text(report, drawn):
    """Names, sources, digests, notices and diagnostics of a stranger are shown letter by letter, and never obeyed."""
    model = replace(report.artifact.model, name=HOSTILE, source=HOSTILE, prediction=HOSTILE)
    provenance = replace(report.artifact.provenance, method=HOSTILE, device=HOSTILE, artc=HOSTILE, torch=HOSTILE)
    artifact = replace(report.artifact, model=model, provenance=provenance, digest="")
    rows = tuple(replace(row, schedule=replace(row.schedule, origin=HOSTILE)) for row in report.rows)
    conditions = {**report.conditions, "device": HOSTILE, "labels": HOSTILE}
    hostile = replace(report, artifact=artifact, rows=rows, conditions=conditions, notices=(HOSTILE,))
    shown = page(hostile, [(row, panels) for row, (_, panels) in zip(rows, drawn, strict=True)])
    parsed = Parsed(shown)
    assert parsed.open == []
    assert [name for name, _ in parsed.elements] == [
        name for name, _ in Parsed(page(replace(report, notices=("x",), conditions=conditions), drawn)).elements
    ]
    assert parsed.words.count("<script>alert(1)</script>") >= 9
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\\u202egnp.exe" in parsed.words


def test_text_can_be_read_back_and_written_as_utf_8():
    assert unescape(text("a < b & \"c\" 'd' é 漢")) == "a < b & \"c\" 'd' é 漢"
    assert text("\ud800\x00\n").encode() == b"\\ud800\\x00\\n"


def test_a_picture_of_samples_is_the_samples(tmp_path):
    import base64

    import matplotlib.image

    grey = np.array([[0.0, 0.5], [1.0, 0.2]])
    for canvas in (grey, np.stack([grey, grey / 2, 1 - grey], axis=-1)):
        (tmp_path / "a.png").write_bytes(base64.b64decode(png(canvas)))
        read = matplotlib.image.imread(tmp_path / "a.png")[..., :3]
        expected = canvas if canvas.ndim == 3 else np.repeat(canvas[..., None], 3, axis=-1)
        np.testing.assert_allclose(read, expected, atol=1 / 255)


def test_losses_are_told_first_and_in_red(report):
    worse = tuple(replace(row, ours=replace(row.ours, error=1e9)) for row in report.rows)
    shown = page(replace(report, rows=worse))
    assert '<p class="verdict lost"><strong>2 of 2 schedules are worse than a baseline' in shown
    assert shown.count(" loses to ") == len(report.rows) * len(report.against)
    assert "Samples from the same noises" not in shown, "there are none"


# --------------------------------------------------------------------------------------------- pictures


def test_the_plot_has_a_panel_for_each_solver_and_a_line_for_each_grid(report, monkeypatch, tmp_path):
    from artc.evaluation import error_plot

    saved = []
    monkeypatch.setattr(error_plot, "save", lambda figure, path: saved.append(figure))
    euler = replace(report.rows[0], schedule=replace(report.rows[0].schedule, solver="euler", nfe=2))
    plot_evaluation(replace(report, rows=(*report.rows, euler)), tmp_path / "a.png")
    (found,) = saved
    heun, other = found.axes
    assert [axes.get_title() for axes in found.axes] == ["end-point error, heun", "end-point error, euler"]
    assert heun.get_yscale() == "log"
    lines = {container.get_label(): container for container in heun.containers}
    assert set(lines) == {OURS, *GRIDS}
    line, _, (bars,) = lines[OURS]
    assert line.get_xydata().tolist() == [[row.schedule.nfe, row.ours.error] for row in report.rows]
    for row, bar in zip(report.rows, bars.get_segments(), strict=True):
        assert bar[:, 1] == pytest.approx([row.ours.error - 2 * row.ours.stderr, row.ours.error + 2 * row.ours.stderr])
    assert len(other.containers) == 5


def test_the_picture_of_samples_has_a_row_for_each_schedule(drawn, monkeypatch, tmp_path):
    from artc.evaluation import error_plot

    saved = []
    monkeypatch.setattr(error_plot, "save", lambda figure, path: saved.append(figure))
    plot_drawn(drawn, tmp_path / "a.png")
    (found,) = saved
    assert len(found.axes) == 2 * 6
    first = np.asarray(found.axes[0].images[0].get_array())
    images = np.clip((drawn[0][1]["teacher, 15 calls"] + 1) / 2, 0, 1)
    assert np.array_equal(first[:8, :8], images[0, 0])
    assert np.array_equal(first[9:, 9:], images[3, 0])
    assert found.axes[0].get_ylabel() == "heun, 3 calls"


def test_a_further_competitor_gets_a_colour_of_its_own():
    among = ("edm", "theirs", "others")
    colours = [colour_of(name, among) for name in (OURS, *among)]
    assert len(set(colours)) == 4
    assert square(256) == square(16) == 16
    assert square(15) == 9
    assert square(2) == 1
