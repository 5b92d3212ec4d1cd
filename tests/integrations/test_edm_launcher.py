"""`python -m artc.integrations.edm`: the program after `--` runs as it is, on the artifact's grid, or not at all.

The programs here are stand-ins with the command lines of EDM's and EDM2's.
"""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import artc
from artc.integrations import edm
from artc.integrations.edm import launcher
from tests.cli import environment
from tests.integrations import edm2_stand_in, edm_stand_in
from tests.integrations.made import MNIST, artifact, flow_artifact, shrinking

README = Path(edm.__file__).with_name("README.md").read_text(encoding="utf-8")
EDM, EDM2 = Path(edm_stand_in.__file__), Path(edm2_stand_in.__file__)
PLAIN = '{"spread": 0.5}'


@pytest.fixture
def launch(monkeypatch, capsys, tmp_path):
    """Run a command line in this process: the code it left with, what it said on stderr, and the documents it left."""

    def run(*words):
        for name in ("edm_stand_in", "edm2_stand_in", "other"):
            monkeypatch.setitem(sys.modules, name, None)  # so that it is gone again afterwards
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.setattr(sys, "argv", ["python"])
        try:
            launcher.main([str(word) for word in words])
            code = 0
        except SystemExit as left:
            code = left.code
        drawn = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(tmp_path.glob("*.json"))]
        return code, capsys.readouterr().err, drawn

    return run


def program(tmp_path, *more, script=EDM, network=PLAIN):
    return "--", script, *(("--network", network) if script == EDM else ("--net", network)), "--outdir", tmp_path, *more


def held(nfe, solver="heun"):
    (schedule,) = [one for one in artc.load(MNIST).schedules if (one.solver, one.nfe) == (solver, nfe)]
    return schedule.sigmas


@pytest.mark.parametrize("budget", [("--nfe", 9), ("--steps", 5)])
def test_edm_draws_every_batch_on_the_grid(launch, tmp_path, budget):
    code, said, drawn = launch(MNIST, *budget, *program(tmp_path))
    nodes = held(9)
    assert code == 0
    assert len(drawn) == 2
    assert sys.argv == [str(EDM), "--steps=5", *map(str, program(tmp_path)[2:])]
    # As when it is run by itself.
    assert sys.path[0] == str(EDM.parent)
    assert sys.modules["edm_stand_in"].__file__ == str(EDM)
    for batch, one in enumerate(drawn):
        assert one["labels"] == [batch] * 9
        assert one["asked"] == [nodes[0], *(node for node in nodes[1:-1] for _ in range(2))]
        assert one["end"] == pytest.approx(80 * shrinking(nodes, 0.5, "heun"), rel=1e-12)
    first, second = said.splitlines()
    assert first == "artc: mnist, heun, NFE 9: 5 steps, sigma = 80 to 0.716467 and 0"
    assert second == "artc: this network draws (1, 2, 2), and the schedule was compiled for (1, 32, 32)."


def test_a_second_double_dash_is_the_programs_own(launch, tmp_path):
    code, err, _ = launch(MNIST, "--nfe", 9, *program(tmp_path, "--", "more"))
    assert code == 2
    assert err.splitlines()[-1].endswith("error: unrecognized arguments: -- more")  # by a program that takes none


def test_edm_draws_with_euler_in_its_other_sampler(launch, tmp_path):
    code, said, (one, _) = launch(MNIST, "--nfe", 13, "--solver", "euler", *program(tmp_path))
    assert code == 0
    assert one["asked"] == list(held(13, "euler")[:-1])
    assert "mnist, euler, NFE 13: 13 steps" in said


def test_a_budget_that_is_not_held_is_read_from_the_warp_on_request(launch, tmp_path):
    code, said, _ = launch(MNIST, "--nfe", 7, *program(tmp_path))
    assert code == 2
    assert "Read it from the warp: resample=True in Python, --resample of a command, or `artc resample`." in said
    code, _, (one, _) = launch(MNIST, "--nfe", 7, "--resample", *program(tmp_path))
    assert code == 0
    assert len(one["asked"]) == 7


def test_the_right_number_of_steps_may_be_said(launch, tmp_path):
    assert launch(MNIST, "--nfe", 9, *program(tmp_path, "--steps=5"))[0] == 0
    assert launch(MNIST, "--nfe", 9, *program(tmp_path, "--steps", "5"))[0] == 0


def test_added_noise_is_remarked_upon_and_added(launch, tmp_path):
    code, said, (one, _) = launch(MNIST, "--nfe", 9, *program(tmp_path, "--S_churn", "5"))
    assert code == 0
    assert "artc: --S_churn=5 adds noise on the way, which the schedule was not compiled for.\n" in said
    assert one["asked"][0] == pytest.approx(80 * 2**0.5)
    assert "S_churn" not in launch(MNIST, "--nfe", 9, *program(tmp_path, "--S_churn=0"))[1]


@pytest.mark.parametrize("guidance", [None, 1.4])
def test_edm2_draws_on_the_grid_with_and_without_guidance(launch, tmp_path, guidance):
    more = () if guidance is None else (f"--guidance={guidance}", "--gnet", '{"spread": 0.6}')
    code, said, (one,) = launch(MNIST, "--nfe", 9, *program(tmp_path, *more, script=EDM2))
    assert code == 0
    nodes = held(9)
    assert one["asked"] == pytest.approx([nodes[0], *(node for node in nodes[1:-1] for _ in range(2))], rel=1e-6)
    assert "this network draws (1, 2, 2), and the schedule was compiled for (1, 32, 32)" in said
    assert ("guidance is 1.4 here, and was 1 where the schedule was compiled" in said) == (guidance is not None)
    assert len(one["guide_asked"]) == 9
    if guidance is None:
        assert one["end"] == pytest.approx(80 * shrinking(nodes, 0.5, "heun"), rel=1e-5)


def test_edm2_has_a_third_solver(launch, tmp_path):
    words = (MNIST, "--nfe", 7, "--solver", "dpmpp_2m", "--resample")
    assert len(launch(*words, *program(tmp_path, script=EDM2))[2][0]["asked"]) == 7
    code, said, _ = launch(*words, *program(tmp_path))
    assert code == 2
    assert "EDM's samplers are heun and euler, not dpmpp_2m." in said


def test_another_strength_of_guidance_is_remarked_upon(launch, tmp_path):
    path = tmp_path / "guided.art"
    artifact((80.0, 1.0, 0.0), guidance=2.0, shape=(1, 2, 2)).save(path)
    said = launch(path, "--nfe", 6, *program(tmp_path))[1]
    assert "guidance is 1 here, and was 2 where the schedule was compiled" in said
    assert "draws" not in said
    with_guide = ("--guidance=2", "--gnet", PLAIN)
    assert "guidance" not in launch(path, "--nfe", 6, *program(tmp_path, *with_guide, script=EDM2))[1]


@pytest.mark.parametrize("script", [EDM, EDM2])
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--steps=18"], "--steps=18, and the schedule has 5 steps"),
        (["--sigma_min", "0.01"], "--sigma_min does not go with a schedule: the schedule has its own noise levels"),
        (["--sigma_max=70"], "--sigma_max does not go"),
        (["--rho=5"], "--rho does not go"),
        (["--disc=vp"], "--disc does not go"),
        (["--schedule=ve"], "--schedule does not go with a schedule: a schedule is compiled for steps in sigma"),
        (["--scaling", "vp"], "--scaling does not go"),
        (["--solver=euler"], "--solver does not go .* say it before the --"),
        (["--S_churn=much"], "--S_churn=much is not a number"),
    ],
)
def test_options_that_do_not_go_with_a_schedule_are_refused_before_anything_runs(launch, tmp_path, script, more, said):
    code, err, drawn = launch(MNIST, "--nfe", 9, *program(tmp_path, *more, script=script))
    assert (code, drawn) == (2, [])
    assert re.match(f"python -m artc.integrations.edm: .*{said}", err)
    assert "Traceback" not in err


def test_an_option_without_its_value_is_said_in_the_name_of_the_program(launch, tmp_path):
    code, err, _ = launch(MNIST, "--nfe", 9, *program(tmp_path, "--rho"))
    assert (code, err) == (2, "edm_stand_in.py: error: argument --rho: expected one argument\n")


def test_added_noise_is_refused_in_edm2(launch, tmp_path):
    code, err, drawn = launch(MNIST, "--nfe", 9, *program(tmp_path, "--S_churn=5", script=EDM2))
    assert (code, drawn) == (2, [])
    assert "--S_churn=5 adds noise on the way" in err


def test_what_a_network_does_not_know_is_one_line_not_a_traceback(launch, tmp_path):
    code, err, drawn = launch(MNIST, "--nfe", 9, *program(tmp_path, network='{"sigma_max": 50.0}'))
    assert (code, drawn) == (2, [])
    assert err.splitlines()[-1].startswith("python -m artc.integrations.edm: The schedule starts at sigma = 80")


def test_a_network_that_rounds_the_grid_is_remarked_upon(launch, tmp_path):
    path = tmp_path / "written.art"
    artifact((80.0, 2.0, 0.5, 0.0)).save(path)
    network = '{"levels": [81, 2.1, 0.5]}'
    code, said, (one, _) = launch(path, "--nfe", 5, *program(tmp_path, network=network))
    assert code == 0
    assert "this network knows certain noise levels only, up to 5.0% away from the schedule's.\n" in said
    assert one["asked"] == pytest.approx([81, 2.1, 2.1, 0.5, 0.5])
    assert "certain" not in launch(path, "--nfe", 5, *program(tmp_path))[1]


def test_a_flow_schedule_is_refused(launch, tmp_path):
    path = tmp_path / "flow.art"
    flow_artifact().save(path)
    code, err, _ = launch(path, "--steps", 3, *program(tmp_path))
    assert code == 2
    assert "in EDM x = x0 + sigma n" in err


def test_an_invalid_artifact_has_the_exit_code_of_a_negative_verdict(launch, tmp_path):
    (tmp_path / "broken.art").write_text("{}", encoding="utf-8")
    code, said, _ = launch(tmp_path / "broken.art", "--nfe", 9, *program(tmp_path))
    assert code == 1
    assert "broken.art is not a valid artifact: $.format" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "There is no Python file"),
        ("x = 1", "is neither generate.py of EDM nor generate_images.py of EDM2"),
        ("import no_such_host_of_ours", "cannot be imported: No module named 'no_such_host_of_ours'"),
    ],
)
def test_another_program_is_refused(launch, tmp_path, text, said):
    script = tmp_path / "other.py"
    if text is not None:
        script.write_text(text, encoding="utf-8")
    code, err, _ = launch(MNIST, "--nfe", 9, "--", script)
    assert code == 2
    assert said in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([MNIST, "--nfe", 9], "which program"),
        ([MNIST, "--nfe", 9, "--"], "which program"),
        ([MNIST, "--", EDM], "one of the arguments --nfe --steps is required"),
        ([MNIST, "--nfe", 9, "--steps", 5, "--", EDM], "not allowed with"),
        ([MNIST, "--nfe", 9, "--solver", "rk4", "--", EDM], "invalid choice: 'rk4'"),
        (["none.art.json", "--nfe", 9, "--", EDM], "There is no file 'none.art.json'"),
    ],
)
def test_a_command_line_of_ours_that_is_wrong_is_explained(launch, words, said):
    code, err, _ = launch(*words)
    assert code == 2
    assert said in err


def test_only_the_first_of_several_processes_speaks(launch, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert launch(MNIST, "--nfe", 9, *program(tmp_path))[:2] == (0, "")


def test_the_command_lines_of_the_readme_run(tmp_path):
    """In a process of their own, whose program finds the modules beside it."""
    (block,) = re.findall(r"^```sh\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "mine.art.json").write_bytes(MNIST.read_bytes())
    for name, script in (("edm/generate.py", EDM), ("edm2/generate_images.py", EDM2)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).with_name("beside.py").touch()
        (tmp_path / name).write_text("import beside\n" + script.read_text(encoding="utf-8"), encoding="utf-8")
    for line in block.splitlines():
        words = shlex.split(line.replace("--seeds=0-7", ""))
        outdir = tmp_path / words[-1].removeprefix("--outdir=")
        outdir.mkdir()
        words = [word.replace("net.pkl", PLAIN).replace("net2.pkl", PLAIN) for word in words[1:]]
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, env=environment(), check=False
        )
        assert done.returncode == 0, done.stderr
        assert len(json.loads((outdir / "0.json").read_text(encoding="utf-8"))["asked"]) == 9


HELP = """
import sys
from artc.integrations.edm import launcher
try:
    launcher.main(["--help"])
finally:
    assert "torch" not in sys.modules
"""


def test_help_names_what_there_is_without_torch():
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for word in ("ARTIFACT", "--nfe", "--steps", "--solver", "--resample", "generate.py"):
        assert word in done.stdout
