"""The command line: parse, call, print. No mathematics; torch is imported inside the commands that need it.

Exit codes: 0 done, 1 a negative verdict (such as an invalid artifact), 2 could not run, 130 interrupted.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artc import __version__
from artc.console import Console, show_artifact
from artc.errors import ArtcError, ArtifactError, BudgetError, InputError

if TYPE_CHECKING:
    from artc.artifact import Artifact

app = typer.Typer(
    name="artc",
    help="Compile sampling schedules for your diffusion or flow model, and use them in any sampler.",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
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
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Compile sampling schedules for your diffusion or flow model, and use them in any sampler."""
    del debug  # `main` has taken it already, wherever it stood
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
    budgets, solvers = parse_nfe(nfe), parse_names(solver)
    check_seed(seed)
    # What can be refused is refused here, most of it before torch is loaded and all before there is work to lose.
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
    from artc.pipeline import compile_steps
    from artc.progress import drain
    from artc.request import Request

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
    from artc.evaluation.summary import summary

    console = Console(json=as_json)
    artifact = load(path)
    if plot is not None:
        from artc.evaluation.plots import plot_artifact

        plot_artifact(artifact, plot)
        console.note(f"wrote {plot}")
    show_artifact(console, artifact, details=True)
    console.document(summary(artifact))


@app.command()
def validate(path: ArtifactPath, as_json: AsJson = False) -> None:
    """Check that an artifact is what it says.

    First its schema, then its digest and its meaning; every violation with its JSON path.
    """
    from artc.artifact import violations

    console = Console(json=as_json)
    found = violations(path)
    console.say(f"{path} is {'not ' if found else ''}valid.")
    for violation in found:
        console.say(f"  {violation} [{violation.code}]")
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
    from artc.evaluation.summary import summary

    console = Console(json=as_json)
    artifact = load(path).resampled(parse_nfe(nfe), solver).sealed()
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
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw samples, beside those of a baseline if wanted."""
    from artc.evaluation.plots import check_samples_path, save_samples

    console = Console(json=as_json, quiet=quiet)
    check_seed(seed)
    artifact = load(path)
    schedule = artifact.schedule(nfe, solver)
    names = parse_names(compare) if compare else ()
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
    facts |= card(name) if entry.embedded else {}
    console.facts(flattened(facts))
    console.document(facts)


def load(path: Path) -> Artifact:
    """Read an artifact; an ArtifactError names the file."""
    from artc.artifact import read

    try:
        return read(path)
    except ArtifactError as error:
        error.message = f"{path} is not a valid artifact: {error.message}"
        error.hint = error.hint or f"See all that is wrong with artc validate {path}."
        raise


def parse_names(text: str) -> tuple[str, ...]:
    """Turn `edm, logsnr` into names."""
    return tuple(word.strip() for word in text.split(","))


def check_seed(seed: int) -> None:
    """Raise InputError for a seed that torch or an artifact could not take."""
    if not 0 <= seed < 2**32:
        raise InputError(f"A seed is a whole number from 0 to {2**32 - 1}, not {seed}.")


def parse_nfe(text: str) -> tuple[int, ...]:
    """Turn `3,9,13` into numbers; raises BudgetError unless they are different whole numbers from 1 to 1000."""
    budgets: list[int] = []
    for word in parse_names(text):
        value = int(word) if word.isdecimal() and len(word) < 9 else 0
        if not 1 <= value <= 1000:
            raise BudgetError(f"--nfe {word!r} is not a whole number from 1 to 1000.", hint="Try --nfe 3,9,13.")
        if value in budgets:
            raise BudgetError(f"--nfe {value} is given twice.", hint="Give each once.")
        budgets.append(value)
    return tuple(budgets)


def main() -> None:
    """Run the command line: one or two lines for an error, never a traceback unless `--debug` asks for it."""
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    if isinstance(sys.stdout, io.TextIOWrapper):  # a bar of a sparkline that an old code page lacks is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(arguments, prog_name="artc", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Exception as error:
        if debug:
            raise
        explained = explain(error)
        Console().error(explained)
        code = explained.exit_code
    if code == 130:  # raised above, or answered by Typer, as its version has it
        Console().note("Interrupted; nothing was written.")
    sys.exit(code)


def explain(error: Exception) -> ArtcError:
    """Any error as a sentence, with a hint and an exit code."""
    if isinstance(error, ArtcError):
        return error
    # Typer's usage errors have no public class of their own that is the same in all of its versions.
    if hasattr(error, "format_message"):
        context = getattr(error, "ctx", None)
        where = "artc" if context is None else context.command_path
        message = error.format_message()
        return InputError(message + "." * message[-1:].isalnum(), hint=f"See {where} --help.")
    if isinstance(error, OSError) and error.strerror:  # a name too long, a device that fails: no fault of artc
        return InputError(f"{error.strerror}: {str(error.filename or '')!r}.")
    hint = "This is a defect of artc: please report it with the output of the same command and --debug."
    return ArtcError(f"{type(error).__name__}: {error}", hint=hint)
