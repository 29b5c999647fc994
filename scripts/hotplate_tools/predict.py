"""`hotplate predict NAME`: one question to an API, by the client that programs use too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hotplate_tools.failures import FailedError, RefusedError
from hotplate_tools.options import as_json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate.client import Prediction

__all__ = ["predict"]

# Numbers of an output that are shown; `--json` has all.
_SHOWN = 12


@click.command()
@click.argument("name")
@click.option("--url", envvar="HOTPLATE_URL", show_envvar=True, required=True, help="Of the API, before /v2.")
@click.option("--key", envvar="HOTPLATE_KEY", show_envvar=True, help="API key.")
@click.option("--version", help="That must answer.")
@click.option(
    "--image", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A picture's file."
)
@click.option("--text", help="A text.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="[NAME=]VALUE",
    help="A .npy file, another file (its bytes), or JSON; may be given several times.",
)
@as_json_option
def predict(
    name: str,
    url: str,
    key: str | None,
    version: str | None,
    image: Path | None,
    text: str | None,
    inputs: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Ask model NAME of a running API, and print its answer."""
    from hotplate.client import ApiError, Client, UnreachableError
    from hotplate_tools.console import Console

    given = [each for each in (image, text) if each is not None]
    if len(given) + bool(inputs) != 1:
        raise RefusedError(
            "give one of --image, --text and --input", advice="--input NAME=… may be repeated."
        )
    data = given[0] if given else _data(inputs)
    with Client(url, key) as client:
        try:
            answer = client.model(name, version).predict(data)
        except (ApiError, UnreachableError) as fault:
            raise FailedError(str(fault)) from fault
    Console(as_json=as_json).result(_document(answer), _words(answer))


def _data(inputs: Sequence[str]) -> Any:
    pairs = [_pair(text) for text in inputs]
    if len(pairs) == 1 and not pairs[0][0]:
        return pairs[0][1]
    if not all(name for name, _ in pairs):
        raise RefusedError("several inputs need names", advice="--input NAME=VALUE, each.")
    return dict(pairs)


def _pair(text: str) -> tuple[str, Any]:
    """Return an input's name, empty if there is none, and its value."""
    name, equals, value = text.partition("=")
    # A path or JSON may hold an equals sign too; it is no name if there is such a file, or it cannot be one.
    if not equals or text[:1] in '[{"' or Path(text).is_file():
        name, value = "", text
    return name, _value(value)


def _value(text: str) -> Any:
    path = Path(text)
    if path.suffix == ".npy" and path.is_file():
        import numpy as np  # here, so that `hotplate --help` stays quick

        return np.load(path, allow_pickle=False)
    if len(text) < 4096 and path.is_file():
        return path
    try:
        return json.loads(text)
    except json.JSONDecodeError as fault:
        advice = "Text is JSON in quotes: '\"like this\"'."
        raise RefusedError(f"{text[:80]!r} is neither a file nor JSON", advice=advice) from fault


def _document(answer: Prediction) -> dict[str, Any]:
    outputs = {name: _jsonable(array) for name, array in answer.items()}
    return {"model": answer.model, "version": answer.version, "outputs": outputs}


def _jsonable(array: Any) -> Any:
    if array.dtype.hasobject:
        return [each.decode(errors="replace") for each in array.ravel()]
    return array.tolist()


def _words(answer: Prediction) -> str:
    lines = [f"{answer.model} {answer.version}"]
    for name, array in answer.items():
        flat = _jsonable(array.ravel()[:_SHOWN])
        more = f", … ({array.size} in all)" if array.size > _SHOWN else ""
        words = ", ".join(f"{each:.6g}" if isinstance(each, float) else str(each) for each in flat)
        lines.append(f"  {name} {list(array.shape)}: {words}{more}")
    return "\n".join(lines)
