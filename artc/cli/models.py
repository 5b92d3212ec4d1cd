"""`artc models`: the models that --model knows by name."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from artc.cli.options import AsJson
from artc.console import Console

app = typer.Typer(help="The models that --model knows by name.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def about(context: typer.Context) -> None:
    """Show the models that --model knows by name."""
    if context.invoked_subcommand is None:
        list_models()


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models that need no file."""
    from artc.models.registry import MODELS

    console = Console(json=as_json)
    rows = [(name, " x ".join(map(str, entry.shape)), entry.summary) for name, entry in MODELS.items()]
    console.table(("name", "shape", "what it is"), rows)
    console.document([{"name": name, "shape": list(e.shape), "summary": e.summary} for name, e in MODELS.items()])


@app.command("show")
def show_model(name: Annotated[str, typer.Argument(metavar="NAME")], as_json: AsJson = False) -> None:
    """Show one model: its shape, and for an embedded one its card."""
    from artc.evaluation.summary import flattened
    from artc.models.cards import card
    from artc.models.registry import find

    console = Console(json=as_json)
    entry = find(name)
    facts: dict[str, Any] = {"name": name, "summary": entry.summary, "shape": list(entry.shape)}
    facts |= card(name) if entry.embedded else {}
    console.facts(flattened(facts))
    console.document(facts)
