"""The policy as an ONNX file, so that a host needs onnxruntime and nothing of how the policy was learned.

Inputs and output are float32 `(B,)`, one number for each sample. Inside the graph everything is float64: the last steps
of a grid lie at 1e-5 of sigma_max, and ONNX has no log1p that would carry float32 there. Short tables are
sums of clipped lines, v_0 + sum_j slope_j clip(u - u_j, 0, u_{j+1} - u_j); in the warp a segment is searched for.

The bytes are the same for the same policy: names are fixed, nothing is dated, and protobuf is told to be deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from artc.artifact.policy import INPUTS, IR_VERSION, OPSET, OUTPUT
from artc.errors import InputError
from artc.learning.objective import Array
from artc.learning.state_features import CLIP, SMALL
from artc.learning.state_policy import BOUND, HATS, StatePolicy

GROUP = 16

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

NO_ONNX = "A policy is written with the package onnx, which is not installed."
INSTALL = 'Install it: pip install "artc[cpu]".'


@dataclass(slots=True)
class _Graph:
    """A graph while it is written: each method adds a node and returns the name of its value."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def __call__(self, operator: str, *inputs: str | Array | float, **attributes: Any) -> str:
        from onnx import helper

        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [name], name=name, **attributes))
        return name

    def constant(self, value: Array | float, dtype: type = np.float64) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype=dtype), name))
        return name

    def table(self, at: str, nodes: Array, values: Array) -> str:
        """Values `(N, m)` at increasing nodes `(N,)`, read at `(B, 1)`: `(B, m)`."""
        widths = np.diff(nodes)
        inside = self("Min", self("Max", self("Sub", at, nodes[:-1]), 0.0), widths)
        slopes = np.diff(values, axis=0) / widths[:, None]
        return self("Add", self("MatMul", inside, slopes), values[0])

    def lookup(self, at: str, nodes: Array, values: Array) -> str:
        """The same of one column and many nodes, by search: first among every 16th of the nodes, then among 16."""
        first = np.full(-(-(len(nodes) - 1) // GROUP) * GROUP, np.inf)
        first[: len(nodes) - 1] = nodes[:-1]
        groups = first.reshape(-1, GROUP)
        group = self._count_below(at, groups[1:, 0])
        member = self._count_below(at, self("Gather", groups[:, 1:], group))
        segment = self("Add", self("Mul", group, self.constant(np.array(GROUP), np.int64)), member)
        slopes = np.diff(values) / np.diff(nodes)
        beginnings = values[:-1] - slopes * nodes[:-1]  # exactly 0 in the first segment, which ends in 0
        beginning, slope = (self("Gather", table[:, None], segment) for table in (beginnings, slopes))
        return self("Add", beginning, self("Mul", slope, at))

    def _count_below(self, column: str, thresholds: str | Array) -> str:
        from onnx import TensorProto

        reached = self("Cast", self("GreaterOrEqual", column, thresholds), to=TensorProto.INT64)
        return self("ReduceSum", reached, self.constant(np.array([1]), np.int64), keepdims=0)

    def split(self, value: str, parts: int = 0, sizes: tuple[int, ...] = ()) -> list[str]:
        """A value in equal parts along the batch, or in columns of these sizes."""
        from onnx import helper

        names = [f"split_{len(self.nodes)}_{part}" for part in range(parts or len(sizes))]
        inputs = [value, self.constant(np.array(sizes), np.int64)] if sizes else [value]
        self.nodes.append(helper.make_node("Split", inputs, names, name=names[0], axis=1 if sizes else 0))
        return names

    def clipped(self, value: str, most: float) -> str:
        return self("Max", self("Min", value, most), -most)


def policy_onnx(policy: StatePolicy) -> bytes:
    """The file of a policy; raises InputError where the package `onnx` is not installed."""
    try:
        import onnx
        from onnx import helper
    except ImportError:
        raise InputError(NO_ONNX, hint=INSTALL) from None

    graph = _Graph()
    second = graph.constant(np.array([1]), np.int64)
    joined = graph("Concat", *(graph("Unsqueeze", name, second) for name in INPUTS), axis=1)
    columns = graph.split(graph("Cast", joined, to=onnx.TensorProto.DOUBLE), sizes=(1,) * len(INPUTS))
    found = _next_sigma(graph, policy, dict(zip(INPUTS, columns, strict=True)))
    narrow = graph("Cast", found, to=onnx.TensorProto.FLOAT)
    graph.nodes.append(helper.make_node("Squeeze", [narrow, second], [OUTPUT], name=OUTPUT))
    made = helper.make_graph(
        graph.nodes,
        "policy",
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch"]) for name in INPUTS],
        [helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, ["batch"])],
        initializer=graph.constants,
    )
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="artc"
    )
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _next_sigma(graph: _Graph, policy: StatePolicy, given: dict[str, str]) -> str:
    """The equations of `artc.learning.state_policy`, node by node; returns the name of sigma'."""
    offset, scale = policy.warp.offset, policy.frame.scale
    clock, level = np.array(policy.warp.clock), np.log1p(np.array(policy.warp.sigma) / offset)
    remaining, rising = (1.0 - clock)[::-1], level[::-1]

    # r of both sigmas, in one search.
    both = graph("Concat", given["sigma"], given["sigma_before"], axis=0)
    found = graph.lookup(graph("Log", graph("Add", graph("Div", both, offset), 1.0)), rising, remaining)
    left, left_before = graph.split(found, 2)
    here, before = (graph("Sub", 1.0, value) for value in (left, left_before))
    seen = _features(graph, policy, given, here, before, scale)
    hats = graph("Abs", graph("Sub", graph("Mul", here, float(HATS - 1)), np.arange(HATS, dtype=float)))
    value = graph("Concat", *seen, graph("Max", graph("Sub", 1.0, hats), 0.0), axis=1)
    for matrix, vector in policy.weights[:-1]:
        value = graph("Tanh", graph("Add", graph("MatMul", value, matrix), vector))
    matrix, vector = policy.weights[-1]
    value = graph("Add", graph("MatMul", value, matrix), vector)
    gain = graph("Mul", graph("Tanh", graph("Div", value, BOUND)), BOUND)

    rest = graph("Div", graph("Sub", 1.0, given["clock_next"]), graph("Sub", 1.0, given["clock"]))
    left = graph("Mul", left, graph("Pow", rest, graph("Exp", gain)))
    reached = graph.lookup(left, remaining, rising)
    # expm1(u) = (exp u + 1) tanh(u / 2), which keeps its digits near 0.
    raised = graph("Mul", graph("Add", graph("Exp", reached), 1.0), graph("Tanh", graph("Mul", reached, 0.5)))
    return graph("Mul", raised, offset)


def _features(
    graph: _Graph, policy: StatePolicy, given: dict[str, str], here: str, before: str, scale: float
) -> tuple[str, str, str]:
    """The seven features as three blocks of columns: state, change, lag."""
    frame = policy.frame
    knots = np.linspace(0.0, 1.0, len(frame.travelled))
    sigma = given["sigma"]
    whole = graph("Sqrt", graph("Add", graph("Mul", sigma, sigma), scale**2))
    columns = (
        graph("Log", graph("Add", graph("Div", given["rms_x"], whole), SMALL)),
        graph("Log", graph("Add", graph("Div", given["rms_denoised"], scale), 10 * SMALL)),
        graph("Log", graph("Add", graph("Div", given["rms_difference"], sigma), SMALL)),
        graph("Div", given["mean_x"], whole),
        graph("Div", given["mean_denoised"], scale),
    )
    raw = graph("Concat", *columns, axis=1)
    tables = np.concatenate([frame.mean, frame.spread, frame.travelled[:, None]], axis=1)
    mean, spread, travelled = graph.split(graph.table(here, knots, tables), sizes=(5, 5, 1))
    state = graph.clipped(graph("Div", graph("Sub", raw, mean), spread), CLIP)
    expected = graph("Sub", travelled, graph.table(before, knots, frame.travelled[:, None]))
    change = graph("Add", graph("Div", given["rms_change"], scale), SMALL)
    ratio = graph("Log", graph("Div", change, graph("Add", expected, SMALL)))
    return state, graph.clipped(ratio, CLIP), graph("Sub", here, before)
