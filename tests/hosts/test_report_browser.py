"""The page of an evaluation in a real browser: it asks the network for nothing, breaks nothing, and fits every window.

    ARTC_PICTURES=pictures .venv/bin/python -m pytest tests/hosts/test_report_browser.py

keeps a picture of each.
"""

from pathlib import Path

import pytest

from tests.cli import artc
from tests.hosts import browser

MNIST = Path(__file__).parents[2] / "artifacts" / "mnist" / "mnist.art.json"
WIDER = """[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll')).filter(e => {
  const box = e.getBoundingClientRect();
  return box.right > innerWidth + 0.5 || box.left < -0.5;
}).map(e => e.tagName)"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    few = ("--samples", "4", "--fid-samples", "4", "--teacher-steps", "4", "--nfe", "3,9", "-q")
    outcome = artc("evaluate", MNIST, *few, "--metric", "endpoint,frechet", "--report", path)
    assert outcome.code == 0, outcome.err
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_fits_asks_for_nothing_and_says_nothing_to_the_console(chromium, report, pictures, width, scheme):
    with browser.page_of(chromium, width=width, height=900) as page:
        page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        page.send("Network.enable")
        page.send("Log.enable")
        page.send("Page.navigate", url=report.as_uri())
        page.wait_for("document.readyState == 'complete'")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.evaluate("document.querySelector('details').open = true")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(WIDER) == []
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert page.evaluate("document.images.length") == 4 * 6
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g)[0] < 128")
        assert dark == (scheme == "dark")
        asked = [event["params"]["request"]["url"] for event in page.events("Network.requestWillBeSent")]
        assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
        assert page.events("Log.entryAdded") == []
        assert page.events("Runtime.consoleAPICalled") == []
        assert page.thrown == []
        height = page.evaluate("document.documentElement.scrollHeight")
        page.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        page.picture(pictures / f"report-{width}-{scheme}.png", clip=(0, 0, width, height))


def test_the_tables_scroll_by_themselves_in_a_narrow_window(chromium, report):
    with browser.page_of(chromium, width=400, height=900) as page:
        page.send("Page.navigate", url=report.as_uri())
        page.wait_for("document.readyState == 'complete'")
        inner = page.evaluate("(e => [e.scrollWidth, e.clientWidth, e.tabIndex])(document.querySelector('.scroll'))")
        assert inner[0] > inner[1]
        assert inner[2] == 0, "a keyboard can scroll it"


def test_the_page_prints_onto_paper_without_leaving_it(chromium, report):
    with browser.page_of(chromium, width=700, height=1000) as page:
        page.send("Emulation.setEmulatedMedia", media="print")
        page.send("Page.navigate", url=report.as_uri())
        page.wait_for("document.readyState == 'complete'")
        assert page.evaluate("document.documentElement.scrollWidth") <= 700
        assert page.send("Page.printToPDF")["data"]
