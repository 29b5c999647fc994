"""PyTorch to ONNX: programs of `torch.export` (`.pt2`) and modules that a factory makes.

A factory takes no argument and returns `(module, examples)` or `(module, examples, dynamic_shapes)`;
`examples` is a tuple of tensors or a dict by argument name. Without `dynamic_shapes` the first axis
of every input is the batch and open, the others are the examples'.

Rules kept here: the dynamo exporter only (the older one answers wrongly at other lengths without a
word); weights inside of the file. A factory's module itself is the reference, not its export, so
what tracing froze is found.

Source: PyTorch, "torch.onnx.export" and "torch.export".
"""

from __future__ import annotations

import importlib
import inspect
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from recurrent import with_onnx_recurrence
from wire import Refusal, answer_each, clean, serve

OPSET = 18

state: dict[str, Any] = {}


def convert(job: dict[str, Any]) -> dict[str, Any]:
    """Write `model.onnx`; the module is kept for `answer`."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    wanted: dict[str, list[int]] = {}
    if job["kind"] == "torch":
        program, wanted = _from_factory(job)
    else:
        exported = torch.export.load(job["source"])
        state["module"], state["call"] = exported.module(), exported.call_spec.in_spec
        state["names"] = list(exported.graph_signature.user_inputs)
        program = torch.onnx.export(
            exported, dynamo=True, opset_version=OPSET, external_data=False, verbose=False
        )
    proto = clean(program.model_proto)
    state["inputs"] = [node.name for node in proto.graph.input]
    state["outputs"] = [node.name for node in proto.graph.output]
    if set(state["inputs"]) != set(state["names"]):
        raise Refusal(
            f"the export takes {', '.join(state['inputs'])}, the module {', '.join(state['names'])}",
            "Every argument has to be a tensor that the answer depends on.",
        )
    Path(job["output"]).write_bytes(proto.SerializeToString(deterministic=True))
    versions = [f"torch {torch.__version__}", f"onnxscript {version('onnxscript')}"]
    return {"framework": ", ".join(versions), "open": wanted}


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """Run the module on every case."""
    with torch.no_grad():
        found: dict[str, Any] = answer_each(job, _run)
    return found


def _from_factory(job: dict[str, Any]) -> tuple[Any, dict[str, list[int]]]:
    module, examples, shapes = _made(job)
    module.eval()
    signature = inspect.signature(module.forward)
    bound = signature.bind(**examples) if isinstance(examples, dict) else signature.bind(*examples)
    names = list(bound.arguments)
    if not all(isinstance(tensor, torch.Tensor) for tensor in bound.arguments.values()):
        raise Refusal("the factory's examples are not all tensors")
    if shapes is None:
        batch = torch.export.Dim("batch")
        shapes = {name: {0: batch} for name in names}
        # A size of one is taken for a constant, so the example is doubled.
        tensors = [torch.cat([one, one]) if len(one) == 1 else one for one in bound.arguments.values()]
    else:
        tensors = list(bound.arguments.values())
        shapes = shapes if isinstance(shapes, dict) else dict(zip(names, shapes, strict=True))
    program = torch.onnx.export(
        with_onnx_recurrence(module),
        (),
        kwargs=dict(zip(names, tensors, strict=True)),
        dynamic_shapes=shapes,
        dynamo=True,
        opset_version=OPSET,
        external_data=False,
        verbose=False,
    )
    state["module"], state["names"] = module, names
    return program, {name: _open_axes(shapes.get(name)) for name in names}


def _made(job: dict[str, Any]) -> tuple[Any, Any, Any]:
    sys.path.insert(0, job["source_path"])
    where, _, what = job["source"].partition(":")
    try:
        factory = getattr(importlib.import_module(where), what)
    except ModuleNotFoundError as fault:
        if fault.name is None or not where.startswith(fault.name):
            raise
        raise Refusal(
            f"there is no module {where} in {job['source_path']}", "Name its folder with --source-path."
        ) from fault
    except AttributeError as fault:
        raise Refusal(f"module {where} has no {what}") from fault
    made = factory()
    if not isinstance(made, tuple) or len(made) not in (2, 3) or not isinstance(made[0], torch.nn.Module):
        raise Refusal(
            f"{job['source']} returned a {type(made).__name__}",
            "A factory returns (module, examples) or (module, examples, dynamic_shapes).",
        )
    return made[0], made[1], made[2] if len(made) == 3 else None


def _open_axes(spec: Any) -> list[int]:
    """Return the axes that a dynamic shape calls open."""
    if spec is None:
        return []
    pairs = spec.items() if isinstance(spec, dict) else enumerate(spec)
    closed = (None, torch.export.Dim.STATIC)
    return [int(axis) for axis, size in pairs if size not in closed and not isinstance(size, int)]


def _run(feeds: dict[str, Any]) -> dict[str, Any]:
    tensors = {name: torch.from_numpy(feeds[name]) for name in state["names"]}
    if "call" in state:
        # A program is called as it was exported: which inputs came by name is part of it.
        args, kwargs = torch.utils._pytree.tree_unflatten(list(tensors.values()), state["call"])
        found = state["module"](*args, **kwargs)
    else:
        found = state["module"](**tensors)
    leaves = torch.utils._pytree.tree_leaves(found)
    return dict(zip(state["outputs"], [leaf.numpy() for leaf in leaves], strict=True))


if __name__ == "__main__":
    serve({"convert": convert, "answer": answer})
