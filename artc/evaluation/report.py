"""An evaluation as one page that needs nothing else: no network, no script, no other file.

Whatever an artifact says may come from a stranger: all of it is escaped, and a content security policy forbids the page
to fetch or to run anything, should something ever slip through. The page is HTML 5 with its style sheet, charts as SVG
and samples as PNG inside.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Iterator, Sequence
from html import escape
from statistics import median

import numpy as np
from numpy.typing import NDArray

from artc.evaluation.baselines import OURS
from artc.evaluation.charts import error_chart, grid_chart, legend
from artc.evaluation.diagnostics import figure
from artc.evaluation.drawing import Drawn
from artc.evaluation.error_plot import TITLES, measured_metrics, value_of
from artc.evaluation.plots import mosaic
from artc.evaluation.report_style import STYLE
from artc.evaluation.reported import GRID_ALONE, EvaluationReport, Row, Scored, condition_facts, verdict
from artc.evaluation.summary import detail_facts, headline

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")

SHOWN = 8
"""Losses that are listed at the top; the tables have all."""

METHODS = {
    "endpoint": """The <b>end-point error</b> is the root mean square, over noises and over the dimensions of a sample,
of the distance between where a grid ends and where the teacher ends from the same noise. It says how faithfully few
steps follow the model’s own flow, not how good the model is. All grids start from the same noises; the ratio of two
errors has a paired standard error, far smaller than that of either, and <i>nearer on</i> is the share of the noises on
which the compiled schedule ends nearer to the teacher than that baseline.""",
    "frechet": """The <b>Frechet distance</b> is the squared 2-Wasserstein distance between two normal distributions
with the means and covariances of the features of the samples and of the reference. It is comparable only at equal
features, reference and number of samples.""",
}


def page(report: EvaluationReport, drawn: Sequence[Drawn] = ()) -> str:
    """The report as one HTML document; `drawn` are samples to show, `(n, C, H, W)` in [-1, 1]."""
    name = text(report.artifact.model.name)
    body = "\n".join(
        part
        for part in (
            _header(report),
            *(_table(report, metric) for metric in measured_metrics(report)),
            _charts(report),
            _samples(report, drawn),
            _grids(report),
            _about(report),
            _sigmas(report),
        )
        if part
    )
    made = f"artc {text(report.conditions['artc'])}, {text(report.conditions['at'])}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{name}: evaluation of compiled schedules</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
{body}
<footer>Written by {made}. This page is complete: it fetches nothing and runs nothing.</footer>
</body>
</html>
"""


def text(value: object) -> str:
    """Any value as text of a page: escaped, with control characters, and those that turn the writing round, spelt."""
    return escape(_CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), str(value)), quote=True)


def _header(report: EvaluationReport) -> str:
    losses, found = report.losses, report.conditions
    ratios = [ratio for row in report.rows if (ratio := _nearest(row, report).ratio) is not None]
    figures = [("schedules measured", str(len(report.rows)))]
    beaten = {(loss.solver, loss.nfe) for loss in losses}
    figures.append(("with no baseline below them", f"{len(report.rows) - len(beaten)} of {len(report.rows)}"))
    if ratios:
        figures.append(("of the best baseline's error, in the median", f"{median(ratios):.0%}"))
    figures.append(("denoiser calls to measure it", f"{found['score_evals']:,}"))
    tiles = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in figures)
    items = "".join(f"<li>{text(loss)}.</li>" for loss in losses[:SHOWN])
    items += f"<li>And {len(losses) - SHOWN} more, in the tables below.</li>" if len(losses) > SHOWN else ""
    lost = f'<ul class="losses">{items}</ul>' if items else ""
    kind = "lost" if losses else "won"
    return f"""<header>
<p class="kind">Evaluation of compiled schedules</p>
<h1>{text(report.artifact.model.name)}</h1>
<p class="verdict {kind}"><strong>{text(verdict(report))}</strong></p>
{lost}<p class="soft">{text(headline(report.artifact))}.
Every grid in a row costs the same number of denoiser calls.</p>
<dl class="figures">{tiles}</dl>
</header>
<main>"""


def _nearest(row: Row, report: EvaluationReport, metric: str | None = None) -> Scored:
    """The best of the baselines."""
    chosen = metric or measured_metrics(report)[0]
    return min(row.baselines, key=lambda scored: value_of(scored, chosen))


def _by_solver(report: EvaluationReport) -> Iterator[tuple[str, list[Row]]]:
    for solver in dict.fromkeys(row.schedule.solver for row in report.rows):
        yield solver, [row for row in report.rows if row.schedule.solver == solver]


def _table(report: EvaluationReport, metric: str) -> str:
    endpoint = metric == "endpoint"
    columns = [("solver", True), ("calls", False), ("steps", False), ("origin", True), (OURS, False)]
    columns += [(name, False) for name in report.against] + [("ratio to the best of them", True)]
    columns += [("nearer on", False)] if endpoint else []
    columns += [(GRID_ALONE, False)] if report.any_alone else []
    head = "".join(f'<th scope="col"{" class=word" if word else ""}>{text(name)}</th>' for name, word in columns)
    groups = []
    for solver, rows in _by_solver(report):
        lines = []
        for place, row in enumerate(rows):
            first = f'<th scope="rowgroup" class="word" rowspan="{len(rows)}">{text(solver)}</th>' if not place else ""
            lines.append(
                f"<tr>{first}{_cells(row, metric, _nearest(row, report, metric))}{_alone(report, row, metric)}</tr>"
            )
        groups.append(f"<tbody>{''.join(lines)}</tbody>")
    if endpoint:
        told = f"RMS distance from the teacher's samples, {report.conditions['endpoint']['samples']:,} noises. "
        told += "Lower is better; the lowest of each row is bold. After ± one standard error."
    else:
        told = (
            f"{report.conditions['frechet']['samples']:,} samples against {report.conditions['frechet']['reference']}. "
        )
        told += "Lower is better; the lowest of each row is bold."
    title = TITLES[metric].capitalize()
    return f"""<section>
<h2 id="{metric}">{title} at equal cost</h2>
<p class="told" id="{metric}-told">{text(told)}</p>
<div class="scroll" tabindex="0" role="region" aria-labelledby="{metric}">
<table aria-labelledby="{metric}" aria-describedby="{metric}-told">
<thead><tr>{head}</tr></thead>{"".join(groups)}</table>
</div>
</section>"""


def _cells(row: Row, metric: str, nearest: Scored) -> str:
    schedule = row.schedule
    lowest = min(value_of(scored, metric) for scored in row.grids)
    cells = [
        f'<th scope="row">{schedule.nfe}</th><td>{schedule.steps}</td><td class="word">{text(schedule.origin)}</td>'
    ]
    for scored in row.grids:
        value = value_of(scored, metric)
        shown = f"<strong>{figure(value)}</strong>" if value == lowest else figure(value)
        spread = f" <small>± {figure(scored.stderr)}</small>" if scored is row.ours and scored.stderr else ""
        spread = spread if metric == "endpoint" else ""
        cells.append(f'<td class="{"ours" if scored is row.ours else "theirs"}">{shown}{spread}</td>')
    ours, theirs = value_of(row.ours, metric), value_of(nearest, metric)
    ratio = "–"
    if theirs > 0:
        error = f" <small>± {nearest.ratio_stderr:.3f}</small>" if metric == "endpoint" and nearest.ratio_stderr else ""
        kind = "win" if ours <= theirs else "loss"
        ratio = f'<span class="{kind}">{ours / theirs:.3f}</span>{error} × {text(nearest.name)}'
    cells.append(f'<td class="word">{ratio}</td>')
    if metric == "endpoint":
        cells.append("<td>–</td>" if nearest.wins is None else f"<td>{nearest.wins:.0%}</td>")
    return "".join(cells)


def _alone(report: EvaluationReport, row: Row, metric: str) -> str:
    if not report.any_alone:
        return ""
    return "<td>–</td>" if row.alone is None else f'<td class="theirs">{figure(value_of(row.alone, metric))}</td>'


def _charts(report: EvaluationReport) -> str:
    drawn = [
        f"<figure><figcaption><b>{TITLES[metric].capitalize()}, {text(solver)}</b></figcaption>"
        f"{error_chart(rows, metric)}</figure>"
        for metric in measured_metrics(report)
        for solver, rows in _by_solver(report)
    ]
    bars = "; bars are two standard errors" if "endpoint" in report.conditions else ""
    return f"""<section>
<h2>Error against cost</h2>
<p>Both axes are logarithmic{bars}. Lower is better.</p>
{legend((OURS, *report.against))}
<div class="charts">{"".join(drawn)}</div>
</section>"""


def _samples(report: EvaluationReport, drawn: Sequence[Drawn]) -> str:
    if not drawn:
        return ""
    some = "" if len(drawn) == len(report.rows) else f" {len(drawn)} of the {len(report.rows)} schedules are shown."
    parts = []
    for row, panels in drawn:
        shown = "".join(_panel(row, name, images) for name, images in panels.items())
        parts.append(
            f'<h3>{text(row.schedule.solver)}, {row.schedule.nfe} calls</h3><div class="samples">{shown}</div>'
        )
    return f"""<section>
<h2>Samples from the same noises</h2>
<p>Each place in a square starts from one noise, in every square.{some} Under a name is its end-point error.</p>
{"".join(parts)}
</section>"""


def _panel(row: Row, name: str, images: NDArray[np.float64]) -> str:
    error = next((scored.error for scored in row.grids if scored.name == name), None)
    under = "" if error is None else f" {figure(error)}"
    told = f"{len(images)} samples of {name}, {row.schedule.solver} at {row.schedule.nfe} calls"
    canvas = mosaic(images, math.isqrt(len(images)))
    height, width = canvas.shape[:2]
    return (
        f'<figure{" class=ours" if name == OURS else ""}><img src="data:image/png;base64,{png(canvas)}" '
        f'width="{width}" height="{height}" alt="{text(told)}">'
        f"<figcaption><b>{text(name)}</b>{under}</figcaption></figure>"
    )


def png(canvas: NDArray[np.float64]) -> str:
    """A picture in [0, 1], grey `(H, W)` or of colours `(H, W, 3)`, as base64 of its PNG."""
    from matplotlib.image import imsave

    content = io.BytesIO()
    imsave(content, canvas, format="png", cmap="gray", vmin=0, vmax=1)  # of which colours heed none
    return base64.b64encode(content.getvalue()).decode()


def _grids(report: EvaluationReport) -> str:
    nodes = [sigma for row in report.rows for scored in row.grids for sigma in scored.sigmas if sigma > 0]
    drawn = "".join(
        f"<figure><figcaption><b>{text(row.schedule.solver)}, {row.schedule.nfe} calls</b></figcaption>"
        f"{grid_chart(row, min(nodes))}</figure>"
        for row in report.rows
    )
    return f"""<section>
<h2>Where the steps go</h2>
<p>The nodes of each grid, from the most noise at the left to none at the right. Sigma is on a logarithmic axis, which
is broken before its end, 0.</p>
<div class="charts">{drawn}</div>
</section>"""


def _about(report: EvaluationReport) -> str:
    notices = "".join(f'<p class="note">{text(notice)}</p>' for notice in report.notices)
    words = "".join(f"<p>{METHODS[metric]}</p>" for metric in measured_metrics(report))
    return f"""<section>
<h2>What was measured</h2>
{facts(detail_facts(report.artifact))}
</section>
<section>
<h2>How it was measured</h2>
{facts(condition_facts(report))}
{words}
<p>A schedule counts as worse when a baseline's value is lower, by however little.</p>
{notices}
</section>"""


def facts(found: Sequence[tuple[str, str]]) -> str:
    """Names and values."""
    items = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in found)
    return f'<dl class="facts">{items}</dl>'


def _sigmas(report: EvaluationReport) -> str:
    lines = "".join(
        f'<tr><th scope="row" class="word">{text(row.schedule.solver)} {row.schedule.nfe}</th>'
        f"<td>{', '.join(f'{sigma:.8g}' for sigma in row.schedule.sigmas)}</td></tr>"
        for row in report.rows
    )
    return f"""<section>
<h2>The compiled sigmas</h2>
<details><summary>Show the numbers, to eight digits</summary>
<table class="sigmas"><tbody>{lines}</tbody></table>
<p class="soft">The artifact holds them exactly: <code>artc.load(path).sigmas(nfe=…, solver=…)</code>.</p>
</details>
</section>
</main>"""
