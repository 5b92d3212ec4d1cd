"""The command line: parse, call, print. No mathematics; torch is imported inside the commands that need it.

Exit codes: 0 done, 1 a negative verdict (such as an invalid artifact), 2 could not run, 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artc import __version__
from artc.console import Console
from artc.errors import ArtcError, BudgetError, InputError

if TYPE_CHECKING:
    from artc.artifact import Artifact

app = typer.Typer(
    name="artc",
    help="Compile sampling schedules for your diffusion or flow model, and use them in any sampler.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="The models that --model knows by name.", rich_markup_mode=None)
app.add_typer(models_app, name="models")

ArtifactPath = Annotated[Path, typer.Argument(metavar="ARTIFACT", help="An artifact, such as mine.art.json.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the facts as one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No tables, no progress.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output file if it exists.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


@app.callback(invoke_without_command=True)
def about(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Compile sampling schedules for your diffusion or flow model, and use them in any sampler."""
    if version:
        Console().say(f"artc {__version__}")
    elif context.invoked_subcommand is None:
        Console().say(context.get_help())


@models_app.callback(invoke_without_command=True)
def about_models(context: typer.Context) -> None:
    """Show the models that --model knows by name."""
    if context.invoked_subcommand is None:
        list_models()


@app.command("compile")
def compile_command(
    model: Annotated[str, typer.Option(help="A name of `artc models list`.")],
    nfe: Annotated[str, typer.Option(help="Denoiser calls per sample, one schedule each, such as 3,9,13.")],
    solver: Annotated[str, typer.Option(help="euler, heun, rk4 or dpmpp_2m; several with commas.")] = "heun",
    method: Annotated[str, typer.Option(help="art-rl, closed-form or dp.")] = "art-rl",
    seed: Annotated[int, typer.Option(help="The same seed gives the same artifact.")] = 0,
    device: Device = "auto",
    trajectories: Annotated[int, typer.Option(help="Trajectories to learn from; 128 calls each.")] = 256,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: MODEL.art.json.")] = None,
    force: Force = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Learn schedules for a model and write them to an artifact."""
    console = Console(json=as_json, quiet=quiet)
    path = output or Path(f"{model.replace(':', '-').replace('/', '-')}.art.json")
    budgets = parse_nfe(nfe)
    solvers = tuple(solver.split(","))
    # All that can be refused is refused here, before torch is loaded and long before there is work to lose.
    from artc.artifact import steps_for
    from artc.artifact.writing import check_writable
    from artc.models.registry import find

    entry = find(model)
    for name in solvers:
        for budget in budgets:
            steps_for(name, budget)
    check_writable(path, force=force)

    from artc.evaluation.summary import summary
    from artc.models.score_model import pick_device
    from artc.pipeline import Request, compile_steps
    from artc.progress import drain

    request = Request(nfe=budgets, solvers=solvers, method=method, seed=seed, trajectories=trajectories)
    loaded = entry.load(pick_device(device))
    with console.progress() as show:
        artifact = drain(compile_steps(loaded, request), show)
    artifact.save(path, force=force)
    show_artifact(console, artifact)
    console.say(f"wrote {path}")
    console.document({"path": str(path), **summary(artifact)})


@app.command()
def inspect(
    path: ArtifactPath,
    plot: Annotated[Path | None, typer.Option(help="Write a picture: .png, .svg or .pdf.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what is in an artifact, readable in five seconds."""
    from artc.artifact import read
    from artc.evaluation.summary import summary

    console = Console(json=as_json)
    artifact = read(path)
    show_artifact(console, artifact, details=True)
    if plot is not None:
        from artc.evaluation.plots import plot_artifact

        plot_artifact(artifact, plot)
        console.note(f"wrote {plot}")
    console.document(summary(artifact))


@app.command()
def validate(path: ArtifactPath, as_json: AsJson = False) -> None:
    """Check an artifact: its schema, then its meaning; every violation with its JSON path."""
    from artc.artifact import violations

    console = Console(json=as_json)
    found = violations(path)
    for violation in found:
        console.say(f"{violation.code}: {violation}")
    if not found:
        console.say(f"{path} is valid.")
    defects = [{"code": one.code, "path": one.path, "message": one.message, "hint": one.hint} for one in found]
    console.document({"path": str(path), "valid": not found, "violations": defects})
    if found:
        raise typer.Exit(1)


@app.command()
def resample(
    path: ArtifactPath,
    nfe: Annotated[str, typer.Option(help="Denoiser calls per sample, one schedule each, such as 7,11.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The artifact to write.")],
    solver: Annotated[str | None, typer.Option(help="Default: the artifact's only solver.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Add schedules of other budgets, read from the artifact's warp."""
    from artc.artifact import read
    from artc.evaluation.summary import summary

    console = Console(json=as_json)
    artifact = read(path).resampled(parse_nfe(nfe), solver)
    artifact.save(output, force=force)
    show_artifact(console, artifact)
    console.say(f"wrote {output}")
    console.document({"path": str(output), **summary(artifact)})


@app.command()
def sample(
    path: ArtifactPath,
    nfe: Annotated[int, typer.Option(help="Denoiser calls per sample.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A picture (.png, .svg, .pdf), or numbers (.npz).")],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Samples to draw.")] = 64,
    solver: Annotated[str | None, typer.Option(help="Default: the artifact's only solver.")] = None,
    compare: Annotated[str, typer.Option(help="Grids to put beside it, such as edm or edm,logsnr.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw samples with a schedule of the artifact, beside a baseline if wanted."""
    from artc.artifact import read
    from artc.evaluation.plots import check_samples_path, save_samples

    console = Console(json=as_json, quiet=quiet)
    artifact = read(path)
    schedule = artifact.schedule(nfe, solver)
    names = tuple(compare.split(",")) if compare else ()
    check_samples_path(output, artifact.model.shape)

    from artc.evaluation.drawing import draw

    panels = draw(artifact, schedule, compare=names, count=count, seed=seed, device=device)
    save_samples(panels, output)
    console.say(f"wrote {output}: {', '.join(panels)}; {count} samples each, {schedule.solver}, {nfe} calls")
    facts = {"path": str(output), "panels": list(panels), "count": count, "solver": schedule.solver, "nfe": nfe}
    console.document({**facts, "seed": seed})


@models_app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models that need no file."""
    from artc.models.registry import MODELS

    console = Console(json=as_json)
    rows = [(name, " x ".join(map(str, entry.shape)), entry.summary) for name, entry in MODELS.items()]
    console.table(("name", "shape", "what it is"), rows)
    console.document([{"name": name, "shape": list(e.shape), "summary": e.summary} for name, e in MODELS.items()])


@models_app.command("show")
def show_model(name: Annotated[str, typer.Argument(metavar="NAME")], as_json: AsJson = False) -> None:
    """Show one model: its shape, and for an embedded one its card."""
    from artc.evaluation.summary import flattened
    from artc.models.cards import card
    from artc.models.registry import find

    console = Console(json=as_json)
    entry = find(name)
    facts: dict[str, Any] = {"name": name, "summary": entry.summary, "shape": list(entry.shape)}
    if entry.embedded:
        facts |= card(name)
    console.facts(flattened(facts))
    console.document(facts)


def show_artifact(console: Console, artifact: Artifact, *, details: bool = False) -> None:
    """Print an artifact for a reader; with `details` also where it came from and its grids."""
    from artc.evaluation.summary import comparison_table, detail_facts, headline

    console.say(headline(artifact))
    if details:
        console.facts(detail_facts(artifact))
    columns, rows, best = comparison_table(artifact)
    console.table(columns, rows, best)
    if details:
        for schedule in artifact.schedules:
            grid = "  ".join(f"{sigma:.4g}" for sigma in schedule.sigmas)
            console.say(f"{schedule.solver} {schedule.nfe}: {grid}")


def parse_nfe(text: str) -> tuple[int, ...]:
    """Turn `3,9,13` into numbers; raises BudgetError for what is not a list of positive, different whole numbers."""
    budgets: list[int] = []
    for word in text.split(","):
        try:
            value = int(word)
        except ValueError:
            raise BudgetError(f"--nfe {text!r}: {word!r} is not a whole number.", hint="Try --nfe 3,9,13.") from None
        if value < 1:
            raise BudgetError(f"--nfe {text!r}: {value} is less than 1.", hint="Try --nfe 3,9,13.")
        if value in budgets:
            raise BudgetError(f"--nfe {text!r}: {value} is given twice.", hint="Give each once.")
        budgets.append(value)
    return tuple(budgets)


def main() -> None:
    """Run the command line: one or two lines for an error, never a traceback unless `--debug` asks for it."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        code = app(arguments, prog_name="artc", standalone_mode=False)
    except ArtcError as error:
        if debug:
            raise
        Console().error(error)
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:  # such as `artc inspect x | head`: the reader has what it wanted
        sys.stderr.close()
        code = 0
    except Exception as error:
        if debug:
            raise
        # Typer's usage errors have no public class of their own that is the same in all of its versions.
        if hasattr(error, "format_message"):
            context = getattr(error, "ctx", None)
            where = "artc" if context is None else context.command_path
            Console().error(InputError(error.format_message(), hint=f"See {where} --help."))
            sys.exit(2)
        hint = "This is a defect of artc: please report it with the output of the same command and --debug."
        Console().error(ArtcError(f"{type(error).__name__}: {error}", hint=hint))
        code = 2
    if code == 130:
        Console().note("Interrupted; nothing was written.")
    sys.exit(code)
