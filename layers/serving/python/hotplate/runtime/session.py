"""ONNX Runtime, wrapped once: the only module that builds or runs a session.

Every fault of the library leaves as `GraphError` (building) or `InferenceError` (running).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state

from hotplate.errors import (
    GraphError,
    HotplateError,
    InferenceError,
    ShapeMismatchError,
    ValueRangeError,
)
from hotplate.protocol.datatypes import from_ort, shape_of
from hotplate.runtime.deadline import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate.manifest.schema import Arena, Prepacking

__all__ = ["CPU", "CUDA", "RUNTIME_VERSION", "Bound", "Session", "providers_here"]

type Array = np.ndarray[Any, Any]

RUNTIME_VERSION: str = ort.__version__
# Execution providers. Source: ONNX Runtime documentation, "Execution Providers".
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"

# Session options by the plan's word. An ONNX Runtime that does not know one ignores it.
_PREPACKING: dict[Prepacking, tuple[str, ...]] = {
    "on": (),
    "parallel": ("session.prepack.enable_parallel",),
    "off": ("session.disable_prepacking",),
    "later": ("session.prepack.enable_parallel",),
}

# Microseconds that a thread waits actively within a run, for the next operator: as long as the short ones
# between two products take. With ONNX Runtime's own, much longer, two threads take twice the processor's time
# as soon as somebody else needs a core, which on Lambda is whenever memory buys less than a whole one more.
# Measured with two threads, on two cores that other work shared: docs/12-warm-path.md.
_SPIN_US = "20"

# The library has no common base class for its errors; these are all it defines, and what its
# bindings raise for arguments they cannot convert.
_ORT_ERRORS = (
    ort_state.EngineError,
    ort_state.EPFail,
    ort_state.Fail,
    ort_state.InvalidArgument,
    ort_state.InvalidGraph,
    ort_state.InvalidProtobuf,
    ort_state.ModelLoaded,
    ort_state.NoModel,
    ort_state.NoSuchFile,
    ort_state.NotImplemented,
    ort_state.RuntimeException,
    RuntimeError,
    TypeError,
    ValueError,
)


class Session:
    """A graph ready to run.

    Attributes:
        inputs: (name, shape with -1 for an open dimension, dtype) of the graph's inputs, in its order.
        output_names: The graph's, in its order.
        output_shapes: By name, with -1 for an open dimension.
        providers: Those that ONNX Runtime runs it on; it drops one that does not work here.
    """

    def __init__(
        self,
        graph: bytes,
        *,
        weights: Mapping[str, memoryview],
        threads: int,
        prepacking: Prepacking = "on",
        level: Literal["all", "none"] = "all",
        arena: Arena = "on",
        providers: Sequence[str] = (CPU,),
    ) -> None:
        """Build the session.

        Args:
            graph: The ONNX file.
            weights: External data by the location that the graph names; borrowed, not copied,
                where ONNX Runtime can (1.31 and later), so it is kept as long as the session.
            threads: Threads of one operator.
            prepacking: Whether weights are rearranged for faster runs: `on`, in `parallel`, or `off`;
                `later` is `parallel` here, see `hotplate.runtime.staged`.
            level: How far the graph is optimised now; `none` for one that was before.
            arena: `on` keeps the memory of a run for the next.
            providers: Where it may run, the best first.

        Raises:
            GraphError: ONNX Runtime refuses the graph or its weights.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = arena == "on"
        options.log_severity_level = 4  # fatal; an error comes as an exception, with the same words
        if level == "none":
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        # Threads that wait actively after a run take the processor from Lambda's client, which now answers.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_US)
        for key in _PREPACKING[prepacking]:
            options.add_session_config_entry(key, "1")
        self._weights = dict(weights)
        try:
            if weights:
                options.add_session_config_entry(
                    "session.use_external_initializer_file_buffers_directly", "1"
                )
                options.add_external_initializers_from_files_in_memory(
                    list(weights), list(weights.values()), [len(view) for view in weights.values()]
                )
            self._session = ort.InferenceSession(graph, options, providers=list(providers))
        except _ORT_ERRORS as fault:
            raise GraphError(f"the graph could not be loaded: {fault}") from fault
        self.inputs = [
            (node.name, shape_of(node.shape), from_ort(node.type).dtype)
            for node in self._session.get_inputs()
        ]
        self.output_names = [node.name for node in self._session.get_outputs()]
        self.output_shapes = {node.name: shape_of(node.shape) for node in self._session.get_outputs()}
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())

    def run_all(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return every output; otherwise as `run`."""
        return self.run(feeds, self.output_names)

    def run(self, feeds: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
        """Return the outputs called `names`.

        Args:
            feeds: Arrays by input name; object arrays hold `bytes`, UTF-8 text to the graph.
            names: Outputs wanted; text comes back as `bytes`.

        Raises:
            ValueRangeError: Bytes that are no UTF-8 text.
            ShapeMismatchError: An array without elements, on which the graph failed.
            InferenceError: The graph failed on these feeds.
            StepTimeoutError: The time of the request in work was over before it was done.
        """
        ready = {name: _fed(name, array) for name, array in feeds.items()}
        options = DEADLINE.watched(ort.RunOptions)
        try:
            results = self._session.run(names, ready, options)
        except _ORT_ERRORS as fault:
            if DEADLINE.has_stopped(options):
                raise DEADLINE.over() from fault
            raise _failed(fault, ready) from fault
        return {name: _taken(array) for name, array in zip(names, results, strict=True)}

    def bind(self) -> Bound:
        """Return a way to run the graph on arrays that stay where they are."""
        return Bound(self._session, self._weights)


class Bound:
    """Runs of one session on arrays that are given once; for graphs that go on from their own outputs."""

    def __init__(self, session: ort.InferenceSession, weights: Mapping[str, memoryview]) -> None:
        self._session = session
        self._weights = weights  # borrowed by the session, which does not keep them itself
        self._binding = session.io_binding()
        self._kept: dict[str, ort.OrtValue] = {}

    def place(self, array: Array, *, inputs: Sequence[str] = (), outputs: Sequence[str] = ()) -> None:
        """Take an array as these inputs, and write these outputs into it, until others are given.

        Args:
            array: Of numbers, C-contiguous; borrowed. As input and output at once it is changed in place,
                which only operators that say so can do.
            inputs: Names of the graph's.
            outputs: Likewise.
        """
        value = ort.OrtValue.ortvalue_from_numpy(array)
        for name in inputs:
            self._binding.bind_ortvalue_input(name, value)
        for name in outputs:
            self._binding.bind_ortvalue_output(name, value)
        self._kept.update(dict.fromkeys((*inputs, *outputs), value))

    def run(self) -> None:
        """Run the graph once.

        Raises:
            InferenceError: It failed.
        """
        try:
            self._session.run_with_iobinding(self._binding)
        except _ORT_ERRORS as fault:
            raise InferenceError(f"the graph failed: {fault}") from fault


def providers_here() -> tuple[str, ...]:
    """Return the execution providers of the ONNX Runtime that is installed here, CUDA before the CPU."""
    if CUDA not in ort.get_available_providers():
        return (CPU,)
    ort.preload_dlls()  # CUDA's libraries lie in packages of their own, where nothing else looks
    return CUDA, CPU


def _failed(fault: Exception, feeds: Mapping[str, Array]) -> HotplateError:
    # Most graphs give nothing for nothing; one that cannot says so only by failing.
    empty = next((name for name, array in feeds.items() if array.size == 0), None)
    if empty is None:
        return InferenceError("the graph failed", quoted=str(fault))
    return ShapeMismatchError(
        f"input {empty!r}", expected="one element or more, as this graph does", received="none"
    )


def _fed(name: str, array: Array) -> Array:
    """Return what ONNX Runtime can take: aligned numbers, and `str` for text.

    Given `bytes` in a text tensor it would go on with their Python notation, b'…', without a word.
    """
    if not array.dtype.hasobject:
        return array if array.flags.aligned else array.copy()
    try:
        texts = [element.decode() for element in array.ravel()]
    except UnicodeDecodeError as fault:
        raise ValueRangeError(f"input {name!r}", expected="UTF-8 text", received="other bytes") from fault
    return _objects(texts, array.shape)


def _taken(array: Array) -> Array:
    """Return an output with text as `bytes`."""
    if not array.dtype.hasobject:
        return array
    return _objects([text.encode() for text in array.ravel()], array.shape)


def _objects(elements: list[Any], shape: tuple[int, ...]) -> Array:
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)
