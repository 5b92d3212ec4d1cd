"""ComfyUI's own page in a real browser: the nodes as users meet them, a run at a click, and what a mistake looks like.

    ARTC_PICTURES=pictures .venv/bin/python -m pytest tests/hosts/test_comfyui_browser.py

keeps a picture of each; `drawn.png` is the one of the integration's README.
"""

import json
from copy import deepcopy
from types import SimpleNamespace

import pytest

import artc
from tests.hosts import browser
from tests.integrations.made import flow_artifact

CRIES = "[...document.querySelectorAll('[role=dialog], [role=alert]')].map(e => e.innerText).filter(t => t.trim())"

PLACES = {  # of the nodes in the picture, and their sizes
    "ArtSchedule": [0, 0, 420, 270],
    "KSamplerSelect": [0, 320, 420, 60],
    "SamplerCustom": [470, 0, 320, 240],
    "VAEDecode": [470, 290, 320, 60],
    "PreviewImage": [840, 0, 420, 380],
    "ArtScheduleInfo": [0, 450, 1260, 220],
}
ARRANGE = """places => {
  for (const node of app.graph.nodes) {
    const [x, y, width, height] = places[node.type] ?? [-2000, 0, 100, 100];
    node.pos = [x, y];
    if (places[node.type]) node.setSize([width, height]);
  }
  app.canvas.ds.scale = 1;
  app.canvas.ds.offset = [85, 300];
  app.canvas.setDirty(true, true);
  return new Promise(done => setTimeout(done, 500));
}"""


@pytest.fixture
def page(chromium):
    with browser.page_of(chromium, scale=1.25) as page:
        yield page


@pytest.fixture(scope="module")
def example(comfyui):
    """The example workflow; the artifact that it asks for, in its place; and one of a flow model."""
    (name,) = comfyui.ask("/workflow_templates")["artc"]
    graph = comfyui.ask(f"/api/workflow_templates/artc/{name}.json")
    (values,) = [node["widgets_values"] for node in graph["nodes"] if node["type"] == "ArtSchedule"]
    file, solver, budget, count = values[:4]
    assert (solver, budget) == ("dpmpp_2m", "steps")  # so that count is the NFE too

    def denoiser(x, sigma):
        variance = 0.02**2  # as in ToyCheckpoint
        return variance / (variance + sigma.to(x).reshape(-1, 1, 1, 1) ** 2) * x

    limits = {"shape": (4, 64, 64), "sigma_min": 0.0292, "sigma_max": 14.61}
    learning = {"trajectories": 16, "checks": 8, "device": "cpu", "name": "toy"}
    made = artc.compile(denoiser, nfe=count, solver=solver, **limits, **learning)
    made.save(comfyui.artifacts / file)
    flow_artifact().save(comfyui.artifacts / "of a flow.art.json", force=True)
    return SimpleNamespace(name=name, graph=graph, file=file, artifact=made, steps=count)


def opened(page, server, *, new_user=False, **settings):
    """The page as it is the first time, or for someone who has seen it before."""
    kept = {"Comfy.TutorialCompleted": not new_user, "Comfy.VueNodes.Enabled": False}
    kept |= {"Comfy.Minimap.Visible": False, "Comfy.Graph.CanvasInfo": False}
    server.fetch("/settings", kept | settings)
    script = "localStorage.setItem('vueNodesBannerDismissed', 'true')"  # an advertisement above the page
    page.send("Page.addScriptToEvaluateOnNewDocument", source=script)
    page.send("Page.navigate", url=server.address)
    page.wait_for("!!(window.app?.vueAppReady && app.graph && app.extensionManager)")


def widgets_of(page, kind):
    """Names and values of the widgets of the first node of a kind, once there is one."""
    found = f"app.graph?.nodes.find(n => n.type == {kind!r})"
    return dict(page.wait_for(f"{found}?.widgets.map(w => [w.name, w.value])"))


def load(page, graph):
    """Give the page a workflow as if its file had been dropped there."""
    page.evaluate(
        f"app.handleFile(new File([{json.dumps(json.dumps(graph))}], 'x.json', {{type: 'application/json'}}))"
    )


def with_a_toy(graph, **widgets):
    """A workflow with a toy for a checkpoint of gigabytes, and the first widgets of ART Schedule as given."""
    graph = deepcopy(graph)
    for node in graph["nodes"]:
        if node["type"] == "CheckpointLoaderSimple":
            node |= {"type": "ToyCheckpoint", "widgets_values": [], "properties": {}}
        if node["type"] == "ArtSchedule":
            node["widgets_values"][: len(widgets)] = widgets.values()
    return graph


def test_a_new_user_is_offered_the_example_and_sees_the_node_with_its_widgets(page, comfyui, example, pictures):
    opened(page, comfyui, new_user=True)
    page.click_on(f"[data-testid='template-workflow-{example.name}']")
    widgets = widgets_of(page, "ArtSchedule")
    asked = comfyui.node("ArtSchedule")["input"]["required"]
    assert [*widgets] == [*asked]
    assert widgets["artifact"] == example.file
    assert page.evaluate("app.graph.nodes.find(n => n.type == 'ArtSchedule').title") == "ART Schedule"
    page.wait_for(f"!({CRIES}).length")  # the dialog goes, and none of missing nodes comes
    page.picture(pictures / "example.png")
    assert page.thrown == []


@pytest.mark.parametrize("nodes", ["drawn", "elements"])
def test_the_example_runs_at_a_click_and_the_node_says_what_it_did(page, comfyui, example, pictures, nodes):
    """With the nodes that ComfyUI draws by default, and with those of its "Nodes 2.0", which are elements."""
    # The second run has a file of its own, or all of it would be cached, and nothing be said.
    file = example.file if nodes == "drawn" else "again.art.json"
    example.artifact.save(comfyui.artifacts / file, force=True)
    opened(page, comfyui, **{"Comfy.VueNodes.Enabled": nodes == "elements"})
    load(page, with_a_toy(example.graph, artifact=file))
    widgets_of(page, "ArtSchedule")
    page.evaluate(f"({ARRANGE})({json.dumps(PLACES)})")
    page.click_on("[aria-label='Run']")
    drawn, elements = "app.graph.nodes.flatMap(n => n.imgs ?? [])", "document.querySelectorAll('[data-node-id] img')"
    sizes = page.wait_for(f"(w => w.length && w)([...{drawn}, ...{elements}].map(i => i.naturalWidth).filter(w => w))")
    assert sizes == [512]
    shown = page.evaluate("document.body.innerText")
    spent = f"NFE {example.steps} in {example.steps} steps"
    origin = example.artifact.schedules[0].origin
    assert f"toy · dpmpp_2m · {spent} · sigma 14.61 to 0 (ve) · {origin} · endpoint_rms " in shown
    assert f"digest    {example.artifact.digest}" in shown
    assert page.evaluate(CRIES) == []
    assert page.thrown == []
    page.evaluate(f"({ARRANGE})({json.dumps(PLACES)})")  # a node may have grown with its text
    page.picture(pictures / f"{nodes}.png", clip=(60, 240, 1310, 460) if nodes == "drawn" else None)


def test_a_text_of_several_lines_is_wrapped_in_the_node_and_a_table_has_its_own_width(page, comfyui, pictures):
    name = "<img src=x onerror=broken()> **b** [c](javascript:broken()) " + "d" * 40
    opened(page, comfyui)
    load(page, {"nodes": [], "links": [], "last_node_id": 0, "last_link_id": 0, "version": 0.4})
    widths = page.evaluate(
        """(() => [["ArtCompile", 100], ["ArtScheduleInfo", 600]].map(([kind, x]) => {
      const node = LiteGraph.createNode(kind);
      node.pos = [x, 150];
      app.graph.add(node);
      node.onExecuted({ text: [kind == "ArtCompile" ? TEXT : "a table\\n" + "0.1234  ".repeat(12)] });
      return [node.size[0], node.computeSize()[0]];
    }))()""".replace("TEXT", json.dumps("\n".join([name, "1. two", "- " + "three " * 40])))
    )
    (wrapped, least), (table, narrow) = widths
    assert least <= wrapped < 450  # as wide as it was
    assert narrow < 600 < table <= 900
    lines = page.wait_for(
        "(p => p.length == 3 && p)([...document.querySelectorAll('.tiptap p')].map(p => p.innerText))"
    )
    assert [line.strip() for line in lines] == [name, "1. two", ("- " + "three " * 40).strip()]
    assert page.evaluate("document.querySelectorAll('.tiptap :is(img, a, strong, ul, ol)').length") == 0
    page.evaluate("new Promise(done => setTimeout(done, 500))")
    page.picture(pictures / "lines.png")
    assert page.thrown == []


def test_a_mistake_is_shown_as_its_sentence(page, comfyui, example, pictures):
    opened(page, comfyui)
    load(page, with_a_toy(example.graph, artifact="of a flow.art.json", solver="heun", budget="steps", count=3))
    widgets_of(page, "ArtSchedule")
    page.click_on("[aria-label='Run']")
    (said,) = page.wait_for(CRIES)
    assert "x = (1 - sigma) x0 + sigma n" in said
    page.picture(pictures / "mistake.png")


def test_the_page_of_help_opens_from_the_node(page, comfyui, example, pictures):
    opened(page, comfyui)
    load(page, with_a_toy(example.graph))
    widgets_of(page, "ArtSchedule")
    page.evaluate(f"({ARRANGE})({json.dumps(PLACES)})")
    where = """(() => {
      const node = app.graph.nodes.find(n => n.type == 'ArtSchedule'), { scale, offset } = app.canvas.ds;
      const { x, y } = app.canvas.canvas.getBoundingClientRect();
      return [(node.pos[0] + 60 + offset[0]) * scale + x, (node.pos[1] - 12 + offset[1]) * scale + y];
    })()"""
    page.click(*page.evaluate(where))
    page.click_on("[data-testid='info-button']")
    help_page = page.wait_for("document.querySelector('.node-help-content')?.innerText")
    assert help_page.startswith("ART Schedule\n\nGives the noise levels (SIGMAS)")
    page.picture(pictures / "help.png")
    assert page.thrown == []
