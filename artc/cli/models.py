"""`artc models`: the models that --model knows by name, and how the published ones get here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from artc.cli.options import AsJson, Quiet
from artc.console import Console

if TYPE_CHECKING:
    from artc.models.published.catalogue import Published
    from artc.models.published.store import Stored

app = typer.Typer(help="The models that --model knows by name.", rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name of `artc models list`.")]


@app.callback(invoke_without_command=True)
def about(context: typer.Context) -> None:
    """Show the models that --model knows by name."""
    if context.invoked_subcommand is None:
        list_models()


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models: those in the package, and published ones."""
    from artc.models.published.catalogue import PUBLISHED
    from artc.models.registry import MODELS

    console = Console(json=as_json)
    found = [(name, entry.shape, "in the package", entry.summary) for name, entry in MODELS.items()]
    found += [(name, one.shape, _where(one), one.summary) for name, one in PUBLISHED.items()]
    rows = [(name, " x ".join(map(str, shape)), where, summary) for name, shape, where, summary in found]
    console.table(("name", "shape", "where", "what it is"), rows)
    console.document([{"name": n, "shape": list(s), "where": where, "summary": what} for n, s, where, what in found])


@app.command("show")
def show_model(name: Name, as_json: AsJson = False) -> None:
    """Show one model: its shape, and its card or where it lies."""
    from artc.evaluation.summary import flattened

    console = Console(json=as_json)
    published = _find(name)
    facts = _packaged_facts(name) if published is None else _published_facts(published)
    console.facts(flattened({key: "-" if value is None else value for key, value in facts.items()}))
    console.document(facts)


@app.command("pull")
def pull_model(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Fetch it again, even if it is here.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Fetch a published model, or what is missing of it."""
    from artc.models.published.store import present

    console = Console(json=as_json, quiet=quiet)
    published = _find(name)
    if published is None:
        console.say(f"{name} is in the package; there is nothing to fetch.")
        console.document({"name": name, "fetched": False, "path": None, "sha256": None})
        return
    before = present(published) and not force
    stored = fetch(console, published, force=force)
    console.say(f"{name} {'was' if before else 'is'} in the cache{' already' if before else ''}.")
    console.facts([("file", str(stored.path)), ("sha256", stored.sha256)])
    console.document({"name": name, "fetched": not before, "path": str(stored.path), "sha256": stored.sha256})


def fetch(console: Console, published: Published, *, force: bool = False) -> Stored:
    """A published model in the cache, checked; fetched if it must be, its licence told first and its progress shown."""
    from artc.models.published.catalogue import licence_note
    from artc.models.published.store import address, present, pull
    from artc.progress import drain

    if force or not present(published):
        source = address(published)
        console.warn(licence_note(published))
        console.note(f"fetching {source}")
    try:
        with console.progress() as show:
            return drain(pull(published, force=force), show)
    except KeyboardInterrupt:
        # The program's own farewell is that nothing was written; here something was, and is worth keeping.
        console.note("Interrupted; what has come is kept, and the same command goes on from there.")
        raise SystemExit(130) from None


def _find(name: str) -> Published | None:
    """The published model of that name, None for one in the package; raises UnknownNameError with the close names."""
    from artc.errors import UnknownNameError
    from artc.models.published.catalogue import PUBLISHED
    from artc.models.registry import MODELS

    if name not in MODELS and name not in PUBLISHED:
        raise UnknownNameError("model", name, [*MODELS, *PUBLISHED])
    return PUBLISHED.get(name)


def _where(published: Published) -> str:
    from artc.models.published.store import present

    return "in the cache" if present(published) else "to download"


def _packaged_facts(name: str) -> dict[str, Any]:
    from artc.models.cards import card
    from artc.models.registry import find

    entry = find(name)
    facts: dict[str, Any] = {"name": name, "summary": entry.summary, "shape": list(entry.shape)}
    return facts | (card(name) if entry.embedded else {})


def _published_facts(published: Published) -> dict[str, Any]:
    from artc.models.checksums import recorded
    from artc.models.published.catalogue import LICENCE, PROJECT
    from artc.models.published.store import place, present

    path = place(published)
    record = recorded(path)
    return {
        "name": published.name,
        "summary": published.summary,
        "shape": list(published.shape),
        "classes": published.classes,
        "where": _where(published),
        "path": str(path),
        "bytes": path.stat().st_size if present(published) else None,
        "sha256": None if record is None else record.sha256,
        "recorded": None if record is None else record.recorded,
        "source": None if record is None else record.source,
        "address": published.address,
        "licence": LICENCE,
        "project": PROJECT,
    }
