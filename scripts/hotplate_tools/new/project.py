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

from hotplate_tools.failures import FailedError, RefusedError
from hotplate_tools.local.deployed import served_models
from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.naming import module_name
from hotplate_tools.new.block import with_model
from hotplate_tools.new.starter import copied_folder, starter_folder
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
_TEST = '''\
"""{name}: its golden rows come out, through what its function does around the graph."""

from hotplate_tools.local.deployed import model_folder
from hotplate_tools.publish.pipeline import describe


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


def plan_model(root: Path, name: str, source: Path | None) -> NewModel:
    """Return what adds model `name` to the project at `root`; writes nothing.

    Args:
        root: Folder of `template.yaml`.
        name: Of the model.
        source: A folder with `model.yaml` to copy; None starts with a model that answers what it is sent.

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
    folder = copied_folder(source, name) if source else starter_folder(name)
    version, sha256, has_golden = _described(folder, name)
    words = {"name": name, "module": module}
    texts = {f"{package}/__init__.py": f'"""The function of the model {name}."""\n'}
    # Steps around a graph are published with golden rows only: nothing else tells whether both fit.
    texts[f"{package}/app.py"] = (_APP_TRANSFORMS if has_golden else _APP_PLAIN).format(**words)
    if has_golden:
        texts[f"{package}/model.py"] = _MODEL.format(**words)
    texts[test] = _TEST.format(**words)
    texts[f"{models}/__init__.py"] = f'"""The model {name}: what it is published from."""\n'
    files = {path: text.encode() for path, text in texts.items()}
    files |= {f"{models}/{path}": body for path, body in folder.items() if path != "__init__.py"}
    template = root / "template.yaml"
    text = with_model(template.read_text("utf-8"), read_yaml(template), name, version, sha256)
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


def _described(files: Mapping[str, bytes], name: str) -> tuple[str, str, bool]:
    with tempfile.TemporaryDirectory() as folder:
        for path, body in files.items():
            file = Path(folder) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
        described = describe(Path(folder), name)
    return described.version, described.manifest_sha256, described.manifest.golden is not None
