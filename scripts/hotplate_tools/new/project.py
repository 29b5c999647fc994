"""`hotplate new` as one call: what it would write, then the writing.

Nothing is overwritten. The template is changed last and at once, so an interrupted run leaves files
that nothing uses, and says so when it is run again.
"""

from __future__ import annotations

import keyword
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from hotplate_tools.convert.converted import ConvertOptions
from hotplate_tools.failures import FailedError, RefusedError
from hotplate_tools.local.deployed import served_models
from hotplate_tools.local.intrinsics import parse_yaml, read_yaml
from hotplate_tools.naming import module_name
from hotplate_tools.new.block import GRAPH_LAYER, PYTHON_LAYER, with_model
from hotplate_tools.new.isolation import with_isolation
from hotplate_tools.new.starter import copied_folder, python_folder, starter_folder
from hotplate_tools.publish.pipeline import describe
from hotplate_tools.publish.source import NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NewModel", "plan_model", "write_model"]

_APP_TRANSFORMS = '''\
"""`POST /v2/models/{name}/infer` and its fellows."""

from hotplate.wiring import model_function

lambda_handler = model_function("functions.{module}.model")
'''
_APP_PLAIN = '''\
"""`POST /v2/models/{name}/infer` and its fellows: the graph's own tensors."""

from hotplate.wiring import model_function

lambda_handler = model_function()
'''
_MODEL = '''\
"""What {name} does around its graph. Pure: arrays in, arrays out; nothing global is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["postprocess", "preprocess"]


def preprocess(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """Return the graph's feeds for validated inputs by public name."""
    return inputs


def postprocess(outputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """Return the outputs by public name for the graph's."""
    return outputs
'''
_APP_PYTHON = '''\
"""`POST /v2/models/{name}/infer` and its fellows: a model that is Python."""

from hotplate.wiring import program_function

lambda_handler = program_function("functions.{module}.model")
'''
_PROGRAM = '''\
"""The model {name}: loaded from its published assets, asked with arrays. Replace it by your own.

What it raises for a caller's fault is a `RequestError` of `hotplate.errors`; anything else is answered 500.
Nothing of the assets is ever unpickled or run.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Array = np.ndarray[Any, Any]

__all__ = ["Scale", "example", "load"]


class Scale:
    """The program: every number times one factor."""

    def __init__(self, factor: float) -> None:
        self._factor = np.float32(factor)

    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs of `model.yaml` by name, for its inputs by name; always a batch."""
        return {{"y": inputs["x"] * self._factor}}


def load(assets: Path) -> Scale:
    """Return the program made from the files in `assets`, verified and read-only."""
    return Scale(json.loads((assets / "settings.json").read_text("utf-8"))["factor"])


def example() -> dict[str, Array]:
    """Return inputs for a first run before the first request."""
    return {{"x": np.zeros((1, 4), np.float32)}}
'''
_REQUIREMENTS_IN = """\
# What functions/{module}/model.py imports beside NumPy and hotplate, which come with the layers. Then:
#   uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.12 \\
#     -c layers/codecs/requirements.txt functions/{module}/requirements.in \\
#     -o functions/{module}/requirements.txt
"""
_TEST = '''\
"""{name}: its golden rows come out, through what its function does around the graph."""

from hotplate_tools.publish.pipeline import describe
from hotplate_tools.training.stored import model_folder


def test_golden_rows_come_out() -> None:
    manifest = describe(model_folder("{name}"), "{name}").manifest  # refuses a row that does not
    assert manifest.name == "{name}"
    assert manifest.golden is not None
    assert manifest.golden.rows >= 1
'''


@dataclass(frozen=True, slots=True)
class NewModel:
    """What is to be written.

    Attributes:
        name, module: Of the model; of its packages.
        files: New files by path relative to the project.
        template: The whole new text of `template.yaml`.
    """

    name: str
    module: str
    files: Mapping[str, bytes]
    template: str


def plan_model(
    root: Path, name: str, source: Path | None, *, python: bool = False, isolates: bool = False
) -> NewModel:
    """Return what adds model `name` to the project at `root`; writes nothing.

    Args:
        root: Folder of `template.yaml`.
        name: Of the model.
        source: A folder with `model.yaml` to copy; None starts with a model that answers what it is sent.
        python: Start with a model that is Python.
        isolates: Its function can keep each tenant's environments apart.

    Raises:
        RefusedError: No such name can be, something of it is there already, or `source` cannot be published.
    """
    module = module_name(name)
    if not NAME.fullmatch(name) or not module.isidentifier() or keyword.iskeyword(module):
        raise RefusedError(
            f"{name!r} is no name for a new model: lower-case letters, digits and ._-, a letter first",
        )
    package, models = f"functions/{module}", f"scripts/hotplate_tools/models/{module}"
    test = f"tests/integration/test_{module}.py"
    for path in (package, models, test):
        if (root / path).exists():
            raise RefusedError(f"{path} is there already", advice="Take another name, or remove it.")
    words = {"name": name, "module": module}
    texts = {f"{package}/__init__.py": f'"""The function of the model {name}."""\n'}
    if python:
        folder = python_folder(name)
        texts[f"{package}/app.py"] = _APP_PYTHON.format(**words)
        texts[f"{package}/model.py"] = _PROGRAM.format(**words)
        texts[f"{package}/requirements.in"] = _REQUIREMENTS_IN.format(**words)
        texts[f"{package}/requirements.txt"] = "# Compiled from requirements.in: nothing.\n"
        version, sha256, _ = _described(folder, name, texts)
    else:
        folder = copied_folder(source, name) if source else starter_folder(name)
        version, sha256, has_golden = _described(folder, name)
        # Steps around a graph are published with golden rows only: nothing else tells whether both fit.
        texts[f"{package}/app.py"] = (_APP_TRANSFORMS if has_golden else _APP_PLAIN).format(**words)
        if has_golden:
            texts[f"{package}/model.py"] = _MODEL.format(**words)
    texts[test] = _TEST.format(**words)
    texts[f"{models}/__init__.py"] = f'"""The model {name}: what it is published from."""\n'
    files = {path: text.encode() for path, text in texts.items()}
    files |= {f"{models}/{path}": body for path, body in folder.items() if path != "__init__.py"}
    template = root / "template.yaml"
    text = with_model(
        template.read_text("utf-8"),
        read_yaml(template),
        name,
        version,
        sha256,
        layer=PYTHON_LAYER if python else GRAPH_LAYER,
    )
    if isolates:
        text = with_isolation(text, parse_yaml(text, "template.yaml"), name)
    return NewModel(name, module, files, text)


def write_model(root: Path, new: NewModel) -> None:
    """Write what was planned.

    Raises:
        FailedError: The new template does not hold the model; nothing was written.
    """
    with tempfile.TemporaryDirectory(dir=root) as folder:
        checked = Path(folder) / "template.yaml"
        checked.write_text(new.template, "utf-8")
        try:
            names = [model.name for model in served_models(read_yaml(checked))]
        except (KeyError, yaml.YAMLError) as fault:
            raise FailedError(f"the template with {new.name} in it cannot be read: {fault}") from fault
        if new.name not in names:
            raise FailedError(f"the template with {new.name} in it does not serve it")
        for path, body in new.files.items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("xb") as stream:
                stream.write(body)
        checked.replace(root / "template.yaml")


def _described(
    files: Mapping[str, bytes], name: str, functions: Mapping[str, str] | None = None
) -> tuple[str, str, bool]:
    """Return version, digest and whether there are golden rows; `functions`: those not yet in the project."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        texts = {
            path: text.encode() for path, text in {"functions/__init__.py": "", **(functions or {})}.items()
        }
        for path, body in {**{f"model/{path}": body for path, body in files.items()}, **texts}.items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
        options = ConvertOptions(source_path=root if functions else None)
        described = describe(root / "model", name, options=options)
    return described.version, described.manifest_sha256, described.manifest.golden is not None
