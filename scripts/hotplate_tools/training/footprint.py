"""What each model's function takes: unzipped bytes, and the memory of a fresh process after its first answer.

The process is the real runtime's (`hotplate_tools.local.harness`), asked the model's first golden row.
Memory is as the kernel counts it (resident, MiB), shared libraries included.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hotplate.protocol.types import Tensor
from hotplate_tools.failures import FailedError
from hotplate_tools.infer import infer
from hotplate_tools.local.build import build, host_architecture
from hotplate_tools.local.deployed import served_models
from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.local.sandbox import descendants
from hotplate_tools.local.sizes import measure
from hotplate_tools.local.strict import strict_cloud
from hotplate_tools.project import project_root
from hotplate_tools.publish.arrays import array_of
from hotplate_tools.publish.golden import read_rows
from hotplate_tools.publish.model_yaml import read_spec
from hotplate_tools.training.stored import model_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate_tools.console import Console

__all__ = ["Footprint", "footprints", "resident_mb"]


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one function takes.

    Attributes:
        name: Of the model.
        function_bytes, with_layers_bytes: Unzipped; the second is what Lambda limits.
        resident_mb, peak_mb: Memory of the process after its first answer, and the most until then, MiB.
        memory_mb: What the template gives the function, MB.
    """

    name: str
    function_bytes: int
    with_layers_bytes: int
    resident_mb: float
    peak_mb: float
    memory_mb: int


def footprints(names: Sequence[str], console: Console) -> list[Footprint]:
    """Return what the functions of these models take; starts each once.

    Raises:
        FailedError: They cannot be built or started, or one does not answer.
        RefusedError: A model is not built on this machine.
    """
    sizes = measure(build(console, architecture=host_architecture()))
    functions = {
        each.name: each.function for each in served_models(read_yaml(project_root() / "template.yaml"))
    }
    found = []
    with strict_cloud(console) as running:
        for name in names:
            function = functions[name]
            with console.step(f"Starting {name} afresh"):
                infer(running.url, name, first_row(name))
                (environment,) = running.harness.environments(function)
                resident, peak = resident_mb(environment.pid)
            memory = running.harness.template.functions[function].memory_mb
            size = sizes.parts[function], sizes.totals[function]
            found.append(Footprint(name, *size, resident, peak, memory))
    return found


def first_row(name: str) -> list[Tensor]:
    """Return the inputs of the model's first golden row."""
    folder = model_folder(name)
    spec = read_spec(folder / "model.yaml")
    if spec.golden is None:
        raise FailedError(f"{name} has no golden row to be asked")
    datatypes = {tensor.name: tensor.datatype for tensor in spec.inputs}
    inputs = read_rows(folder / spec.golden.file)[1][0]["inputs"]
    return [Tensor(key, datatypes[key], array_of(data, datatypes[key], key)) for key, data in inputs.items()]


def resident_mb(supervisor: int) -> tuple[float, float]:
    """Return (now, at most so far) of the function's process, the largest of those under the supervisor, MiB.

    Raises:
        FailedError: There is none.
    """
    found = [_status(process) for process in descendants(supervisor)]
    if not found:
        raise FailedError("the function's process has ended")
    return max(found)


def _status(process: int) -> tuple[float, float]:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, 0.0  # it has just ended
    kilobytes = {
        line.split()[0]: int(line.split()[1]) for line in lines if line.startswith(("VmRSS", "VmHWM"))
    }
    return kilobytes.get("VmRSS:", 0) / 1024, kilobytes.get("VmHWM:", 0) / 1024
