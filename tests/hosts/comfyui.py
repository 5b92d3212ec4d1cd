"""The real ComfyUI, as a server of its own on this machine, and the little of its interface that the tests need."""

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HOSTS = ROOT / ".hosts"
PYTHON = HOSTS / "venv" / "bin" / "python"

READY_WITHIN = 180.0
"""Seconds; it takes about five on an idle machine."""

Node = dict[str, Any]
Graph = dict[str, Node]
"""A prompt in ComfyUI's API format: node id -> class_type and inputs; an input from another node is [id, output]."""


class Refused(Exception):
    """The server did not accept a prompt: HTTP status, and what it said of it."""

    def __init__(self, status: int, said: dict[str, Any]) -> None:
        super().__init__(f"HTTP {status}: {said}")
        self.status, self.said = status, said


@dataclass(frozen=True)
class Run:
    """What became of one prompt: its entry in the server's history."""

    history: dict[str, Any]

    @property
    def succeeded(self) -> bool:
        return bool(self.history["status"]["status_str"] == "success")

    @property
    def error(self) -> dict[str, Any]:
        """What the user is shown of the node that failed: node_type, exception_type, exception_message."""
        return next(said for kind, said in self.history["status"]["messages"] if kind == "execution_error")

    @property
    def cached(self) -> set[str]:
        """The nodes that were not run again."""
        messages = self.history["status"]["messages"]
        return {node for kind, said in messages if kind == "execution_cached" for node in said["nodes"]}

    def report(self, node: str = "report") -> dict[str, Any]:
        """What a ToyReport node saw."""
        assert self.succeeded, self.history["status"]
        return json.loads(self.history["outputs"][node]["report"][0])


@dataclass
class Server:
    """A running ComfyUI: its address, its folders, and what it wrote to the terminal."""

    address: str
    base: Path
    log_file: Path
    process: subprocess.Popen[bytes]
    seconds: float = 0.0
    """From the start to the first answer."""
    salts: Iterator[int] = field(default_factory=itertools.count)

    @property
    def artifacts(self) -> Path:
        return self.base / "models" / "art_schedules"

    @property
    def elsewhere(self) -> Path:
        """A second folder of artifacts, which extra_model_paths.yaml names."""
        return self.base / "elsewhere"

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def fetch(self, path: str, data: Any = None) -> bytes:
        """What the server answers, to a POST where there is data; raises Refused for an HTTP error."""
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(self.address + path, body, {"Content-Type": "application/json"})
        try:
            with OPENER.open(request, timeout=60) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise Refused(error.code, json.loads(text) if text.startswith("{") else {"text": text}) from None

    def ask(self, path: str, data: Any = None) -> Any:
        return json.loads(self.fetch(path, data))

    def node(self, name: str) -> dict[str, Any]:
        """How the server describes one kind of node."""
        return self.ask(f"/object_info/{urllib.parse.quote(name)}")[name]

    def choices(self, node: str, widget: str) -> list[str]:
        """What a list lets its user choose; the two kinds of nodes that ComfyUI has say it differently."""
        inputs = self.node(node)["input"]
        kind, *rest = (inputs["required"] | inputs.get("optional", {}))[widget]
        return kind if isinstance(kind, list) else rest[0]["options"]

    def run(self, graph: Graph, within: float = 120.0) -> Run:
        """Queue a graph and wait for its end; raises Refused when it is not accepted."""
        job, deadline = self.ask("/prompt", {"prompt": graph})["prompt_id"], time.monotonic() + within
        while time.monotonic() < deadline:
            history = self.ask(f"/history/{job}")
            if job in history:
                return Run(history[job])
            time.sleep(0.01)
        raise TimeoutError(f"A graph did not end within {within} s")

    def sampling(
        self,
        sigmas: Node | Sequence[float],
        *,
        sampler: str = "euler",
        kind: str = "edm",
        seed: int = 0,
        cfg: float = 1.0,
        batch: int = 1,
        size: int = 2,
        start: float = 0.0,
    ) -> Graph:
        """The graph of one sampling run of a toy model that no run used before; `sigmas` is a node or numbers.

        The latent holds `start` everywhere, `size` x `size` values in each of four channels.
        """
        return {
            "sigmas": sigmas if isinstance(sigmas, dict) else node("ToySigmas", numbers=json.dumps(list(sigmas))),
            "model": node("ToyModel", kind=kind, salt=f"run {next(self.salts)}"),
            "words": node("ToyConditioning"),
            "sampler": node("KSamplerSelect", sampler_name=sampler),
            "latent": node("ToyLatent", value=start, size=size, batch=batch),
            "sample": node(
                "SamplerCustom",
                model=["model", 0],
                add_noise=True,
                noise_seed=seed,
                cfg=cfg,
                positive=["words", 0],
                negative=["words", 0],
                sampler=["sampler", 0],
                sigmas=["sigmas", 0],
                latent_image=["latent", 0],
            ),
            "report": node("ToyReport", latent=["sample", 0], model=["model", 0]),
        }


def node(class_type: str, **inputs: Any) -> Node:
    """One node of a graph."""
    return {"class_type": class_type, "inputs": inputs}


def art_schedule(artifact: str, *, solver: str = "auto", **inputs: Any) -> Node:
    """An ART Schedule node, its budget given as `steps=` or `nfe=`; other inputs as the node has them."""
    (kind,) = {"steps", "nfe"} & inputs.keys()
    widgets = {"budget": kind, "count": inputs.pop(kind), "missing": "exact", "denoise": 1.0}
    return node("ArtSchedule", artifact=artifact, solver=solver, **{**widgets, **inputs})


# No proxy of the tester's stands between the tests and a server on this machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def build_pack(place: Path) -> None:
    """The node pack as a user gets it, made by its own command."""
    command = [sys.executable, ROOT / "integrations" / "comfyui" / "__main__.py", "--output", place]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(base: Path, *libraries: Path) -> Iterator[Server]:
    """ComfyUI with everything that it may write in a folder of `make_base`; stopped however this ends.

    `libraries` are folders of packages that its Python has besides its own.
    """
    port, log_file = free_port(), base / "comfyui.log"
    command = [PYTHON, HOSTS / "ComfyUI" / "main.py", "--cpu", "--disable-auto-launch", "--disable-api-nodes"]
    command += ["--listen", "127.0.0.1", "--port", str(port), "--base-directory", base]
    command += ["--database-url", f"sqlite:///{base / 'comfyui.db'}"]
    command += ["--extra-model-paths-config", base / "extra_model_paths.yaml"]
    # Nothing of the tester's environment enters: neither a checkout nor an installed artc may be found by the server.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    path = os.pathsep.join(map(str, (HERE / "stubs", *libraries)))
    environment = kept | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    started = time.monotonic()
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=base, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    server = Server(f"http://127.0.0.1:{port}", base, log_file, process)
    try:
        while not _answers(server):
            assert process.poll() is None, f"ComfyUI ended with {process.returncode}:\n{server.log}"
            assert time.monotonic() < started + READY_WITHIN, f"ComfyUI did not answer:\n{server.log}"
            time.sleep(0.05)
        server.seconds = time.monotonic() - started
        yield server
    finally:
        _stop(process)


def _answers(server: Server) -> bool:
    try:
        server.fetch("/system_stats")
    except OSError:
        return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the whole group, the server and whatever it started: first asked, then made to."""
    with suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def make_base(base: Path) -> Path:
    """The folders of a fresh ComfyUI with two packs: ours, and the toy nodes of the tests."""
    nodes = base / "custom_nodes"
    nodes.mkdir(parents=True)
    build_pack(nodes / "artc")
    shutil.copytree(HERE / "toy_nodes", nodes / "toy_nodes", ignore=shutil.ignore_patterns("__pycache__"))
    (base / "elsewhere").mkdir()
    (base / "extra_model_paths.yaml").write_text(f"tests:\n  base_path: {base}\n  art_schedules: elsewhere\n")
    return base
