"""A model that is Python: its manifest, and its golden rows replayed by the very code that will serve.

The code, `functions/<name>/model.py`, is no part of a version: it is deployed with its function. What is
published is what that code is given (the assets) and what it must answer (signature and golden rows), so
rows are required, and are replayed in an environment made from the function's own requirements, through
the same codecs, checks and `Model` as a request.

| kind | `model.yaml` | assets |
|---|---|---|
| python | `kind: python`, `assets:` | the files and folders named, under their own paths |
| spacy | `artefact:` a folder written by `nlp.to_disk` | all of that folder: `spacy.load(assets)` |

No asset is a pickle. A spaCy pipeline names its parts by registered names, which only installed packages
and the function's own code define; it holds no code.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import hotplate
from hotplate.errors import ManifestError, ProgramError
from hotplate.manifest.pickles import HEAD_BYTES, refuse_pickle
from hotplate.manifest.schema import FORMAT, Golden, Manifest, decode, encode
from hotplate.protocol.request import encode_request
from hotplate.protocol.response import decode_response
from hotplate.protocol.types import Tensor
from hotplate_tools.convert.kinds import Converter
from hotplate_tools.convert.process import Runner
from hotplate_tools.failures import RefusedError
from hotplate_tools.local.interpreter import find_python
from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.naming import module_name
from hotplate_tools.project import project_root
from hotplate_tools.publish.bounds import refuse_long_manifest
from hotplate_tools.publish.build import local_file, stated_provenance, with_card
from hotplate_tools.publish.golden import read_rows, refuse_difference, row_feeds
from hotplate_tools.publish.signature import refuse_contradiction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hotplate.manifest.schema import Provenance
    from hotplate_tools.console import Console
    from hotplate_tools.convert.converted import ConvertOptions
    from hotplate_tools.publish.build import LocalFile
    from hotplate_tools.publish.model_yaml import ModelSpec
    from hotplate_tools.publish.source import Source

    type AskProgram = Callable[..., dict[str, Any]]

__all__ = [
    "PreparedFiles",
    "asking",
    "build_program",
    "draft_manifest",
    "function_converter",
    "functions_root",
    "refuse_conversion",
]


@dataclass(frozen=True, slots=True)
class PreparedFiles:
    """A version without a graph of its own: its manifest, its files in that order, and warnings."""

    manifest: Manifest
    files: tuple[LocalFile, ...]
    warnings: tuple[str, ...]
    choice: None = None


def build_program(
    source: Source, options: ConvertOptions, folder: Path, console: Console, *, version: str | None
) -> PreparedFiles:
    """Return the version that a program's source is, its golden rows replayed.

    Args:
        source: Of a platform in `PROGRAM_PLATFORMS`.
        options: `source_path` is the folder in which `functions/<name>/model.py` is; None is this project's.
        folder: Where the runner may write.
        console: Told of each step.
        version: As for publishing.

    Raises:
        RefusedError: The source is not fit to be published, or the program answers otherwise.
        FailedError: The function's requirements cannot be installed, or its code died.
    """
    spec = source.spec
    if spec is None or spec.golden is None or source.golden is None:
        raise RefusedError(
            f"{source.name} is Python and has no golden rows",
            advice="Name a file of them in model.yaml: only rows can tell that the function's code fits.",
        )
    refuse_contradiction(spec)
    refuse_conversion(source, spec, options)
    for path, file in source.assets.items():
        _refuse_pickle(path, file)
    raw, rows = read_rows(source.golden)
    files = _asset_entries(source)
    files += [local_file("golden.jsonl", "golden", raw)]
    files.sort(key=lambda file: file.entry.path)
    golden = Golden(rows=len(rows), rtol=spec.golden.rtol, atol=spec.golden.atol)
    manifest, files = with_card(_manifest(source, spec, files, golden, version), files, source)
    refuse_long_manifest(manifest)
    root = options.source_path or functions_root()
    step = f"Replaying golden rows with functions/{module_name(source.name)}"
    with asking(source, manifest, root, folder, console) as ask, console.step(step):
        _replay(ask, manifest, rows)
    return PreparedFiles(manifest, tuple(files), ())


def draft_manifest(source: Source) -> Manifest:
    """Return the manifest of a program's source without golden rows: enough to ask it.

    Raises:
        RefusedError: `model.yaml` contradicts itself.
    """
    assert source.spec is not None  # noqa: S101 - a program has one
    return _manifest(source, source.spec, _asset_entries(source), None, None)


def _asset_entries(source: Source) -> list[LocalFile]:
    return [local_file(path, "asset", file) for path, file in source.assets.items()]


@contextmanager
def asking(
    source: Source, manifest: Manifest, root: Path, folder: Path, console: Console
) -> Iterator[AskProgram]:
    """Yield what asks the program: inputs by name in, all outputs by name out, through a request's codecs.

    Args:
        source: Its assets.
        manifest: What it declares.
        root: Folder that holds `functions/`.
        folder: Where the runner may write.
        console: Told while the environment is made.

    Raises:
        RefusedError: The program does not load; asking, it refuses the inputs.
        FailedError: The function's requirements cannot be installed, or its code died.
    """
    (folder / "assets").mkdir()
    for path, file in source.assets.items():
        (folder / "assets" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / "assets" / path)
    document, asked, answered = (folder / name for name in ("manifest.json", "request", "response"))
    document.write_bytes(encode(manifest))
    datatypes = {spec.name: spec.datatype for spec in manifest.inputs}
    with Runner(function_converter(root, source.name), folder, console) as runner:
        runner.ask(
            "load",
            paths=[str(root.resolve()), str(Path(hotplate.__file__).parents[1])],
            module=f"functions.{module_name(source.name)}.model",
            assets=str(folder / "assets"),
            manifest=str(document),
        )

        def ask(inputs: Mapping[str, Any], place: str = "the program") -> dict[str, Any]:
            body, length = encode_request([Tensor(name, datatypes[name], inputs[name]) for name in inputs])
            asked.write_bytes(body)
            reply = runner.ask(
                "predict", request=str(asked), length=length, response=str(answered), place=place
            )
            response = decode_response(answered.read_bytes(), str(reply["length"]))
            return {tensor.name: tensor.array for tensor in response.outputs}

        yield ask


def function_converter(root: Path, name: str) -> Converter:
    """Return what runs the code of model `name` here: the functions' Python with the function's requirements.

    Args:
        root: Folder that holds `functions/`.
        name: Of the model.

    Raises:
        RefusedError: There is no such code.
        FailedError: The functions' Python is not installed here.
    """
    module = module_name(name)
    function = root / "functions" / module
    if not (function / "model.py").is_file():
        raise RefusedError(
            f"{name} is Python, and there is no functions/{module}/model.py that loads it",
            advice=f"`hotplate new {name} --python` writes one.",
        )
    project = project_root()
    runtime = read_yaml(project / "template.yaml")["Globals"]["Function"]["Runtime"]
    own = function / "requirements.txt"
    files = (project / "layers" / "codecs" / "requirements.txt", *([own] if own.is_file() else []))
    python = str(find_python(runtime))
    return Converter(f"functions/{module}", f"function-{module}", "run_python.py", python, None, files)


def refuse_conversion(source: Source, spec: ModelSpec, options: ConvertOptions) -> None:
    """Refuse what is said about a conversion or a graph, where there is none.

    Raises:
        RefusedError: Naming what was said.
    """
    said = {
        "--rows": options.rows,
        "--tolerance": options.tolerance,
        "--trust-pickle": options.trust_pickle or None,
        "evaluation": source.evaluation,
        "tolerance": spec.tolerance,
        "plan.weight_form": spec.plan.weight_form,
        "plan.prepacking": spec.plan.prepacking,
        "plan.arena": spec.plan.arena,
        "plan.intra_op_threads": spec.plan.intra_op_threads,
    }
    for word, value in said.items():
        if value is not None:
            what = "a pipeline" if spec.kind == "pipeline" else "Python"
            raise RefusedError(f"{word} is for graphs, and {source.name} is {what}")


def _manifest(
    source: Source, spec: ModelSpec, files: Sequence[LocalFile], golden: Golden | None, version: str | None
) -> Manifest:
    manifest = Manifest(
        format=FORMAT,
        name=source.name,
        inputs=tuple(tensor.declared() for tensor in spec.inputs),
        outputs=tuple(tensor.declared() for tensor in spec.outputs),
        files=tuple(file.entry for file in files),
        version=version,
        task=spec.task,
        producer=f"hotplate {hotplate.__version__}",
        platform=source.platform,
        labels=dict(spec.labels),
        golden=golden,
        plan=spec.plan.declared(),
        provenance=_provenance(source),
    )
    try:
        return decode(encode(manifest))
    except ManifestError as fault:
        raise RefusedError(str(fault)) from fault


def _provenance(source: Source) -> Provenance:
    stated = stated_provenance(source)
    if stated.framework or source.platform != "spacy":
        return stated
    try:
        meta = json.loads((source.graph / "meta.json").read_bytes())
        framework = f"spaCy {meta['spacy_version']}, {meta['lang']}_{meta['name']} {meta['version']}"
    except (ValueError, KeyError, TypeError) as fault:
        raise RefusedError(f"meta.json is not spaCy's: {fault!r}") from fault
    return msgspec.structs.replace(stated, framework=framework)


def functions_root() -> Path:
    """Return the folder that holds this project's `functions/`."""
    found = find_spec("functions")
    if found is None or not found.submodule_search_locations:
        return project_root()
    return Path(found.submodule_search_locations[0]).parent


def _refuse_pickle(path: str, file: Path) -> None:
    with file.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    try:
        refuse_pickle(path, head)
        if head.startswith(b"PK") and zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                for name in archive.namelist():
                    refuse_pickle(f"{path}/{name}", b"")
    except ProgramError as fault:
        raise RefusedError(
            str(fault), advice="Save it as JSON, msgpack, .npy, safetensors or the like."
        ) from fault


def _replay(ask: AskProgram, manifest: Manifest, rows: Sequence[Mapping[str, Mapping[str, Any]]]) -> None:
    bounds = manifest.golden or Golden(rows=len(rows))
    for number, row in enumerate(rows, start=1):
        place = f"golden row {number}"
        results = ask(row_feeds(row["inputs"], manifest.inputs, place), place)
        refuse_difference(row["outputs"], results, manifest.outputs, bounds, place)
