"""Which column is which input: the owner's word first, then names, then places.

Rules kept here, in this order:

1. `columns` of the options binds what it names: to an input, or to one element of it (`features[3]`).
2. A column called like an input is that input; columns called `features[0]`, `features[1]`, ... are its
   elements, if all are there.
3. If that binds no input, and the columns that are not kept are as many as the elements of the model's one
   input of fixed size, they are these, in the file's order.

What must come, and what may not come together, is as in a request.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from hotplate.batch.features import element_names, inner_of
from hotplate.batch.layout import Binding
from hotplate.errors import UnfitFileError
from hotplate.protocol.types import alternatives

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate.batch.layout import BatchOptions
    from hotplate.manifest.schema import Manifest
    from hotplate.protocol.types import MetadataTensor

__all__ = ["bind_columns", "bytes_column", "kept_places", "wanted_outputs"]

_ELEMENT = re.compile(r"(.*)\[([0-9]{1,9})\]", re.DOTALL)
# Names that an error lists. Ours.
_LISTED = 12


def bind_columns(
    names: Sequence[str], options: BatchOptions, manifest: Manifest, *, by_place: bool
) -> tuple[Binding, ...]:
    """Return where each input is, in the manifest's order.

    Args:
        names: Of the columns, in the file's order.
        options: What the owner says.
        manifest: Of the model.
        by_place: Whether columns have places: rule 3.

    Raises:
        UnfitFileError: An option names nothing, or the columns are not a model's inputs.
    """
    places = _places(names)
    bound = _bind_told(names, places, options, manifest)
    used = {place for binding in bound.values() for place in binding.columns}
    for spec in manifest.inputs:
        if spec.name not in bound and (found := _bind_named(spec, places, used)):
            bound[spec.name] = found
    used.update(kept_places(names, options))
    if not bound and by_place and (found := _bind_placed(names, used, manifest)):
        bound[found.input] = found
    _check_complete(bound, names, manifest)
    return tuple(bound[spec.name] for spec in manifest.inputs if spec.name in bound)


def bytes_column(name: str, options: BatchOptions, manifest: Manifest) -> dict[str, str]:
    """Return which input a column of files is: a row of it is bytes, as a picture, a sound, a text.

    Raises:
        UnfitFileError: There is none, or several; or the options name another, or another column.
    """
    fits = [
        spec.name for spec in manifest.inputs if spec.datatype == "BYTES" and spec.shape[1:] in ((), (1,))
    ]
    told = dict(options.columns)
    chosen = told.pop(name, fits[0] if len(fits) == 1 else "")
    if told or chosen not in fits:
        which = f"has {_list(fits)}: `columns` says which, as {{{name!r}: …}}"
        raise UnfitFileError(f"one input of which a row is a file was expected, {manifest.name} {which}")
    return {name: chosen}


def kept_places(names: Sequence[str], options: BatchOptions) -> tuple[int, ...]:
    """Return the places of the columns that are kept, in the order they were asked for.

    Raises:
        UnfitFileError: There is no such column, or it is asked for twice.
    """
    places = _places(names)
    for name in options.keep:
        if name not in places:
            raise UnfitFileError(f"column {name!r} is to be kept; the file has {_list(names)}")
    if len(set(options.keep)) != len(options.keep):
        raise UnfitFileError("a column is to be kept twice")
    return tuple(places[name] for name in options.keep)


def wanted_outputs(options: BatchOptions, manifest: Manifest) -> tuple[str, ...]:
    """Return the names of the outputs that are wanted, in the manifest's order.

    Raises:
        UnfitFileError: There is no such output, or one that is no row for a row.
    """
    known = [spec.name for spec in manifest.outputs]
    for name in options.outputs:
        if name not in known:
            raise UnfitFileError(f"output {name!r} is wanted; {manifest.name} has {_list(known)}")
    wanted = [spec for spec in manifest.outputs if not options.outputs or spec.name in options.outputs]
    for spec in wanted:
        inner_of(spec)
    return tuple(spec.name for spec in wanted)


def _places(names: Sequence[str]) -> dict[str, int]:
    """Return the places of the names that come once."""
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    return {name: place for place, name in enumerate(names) if name not in twice}


def _bind_told(
    names: Sequence[str], places: Mapping[str, int], options: BatchOptions, manifest: Manifest
) -> dict[str, Binding]:
    declared = {spec.name: spec for spec in manifest.inputs}
    told: dict[str, dict[int | None, list[int]]] = {}
    for column, target in options.columns.items():
        if column not in places:
            raise UnfitFileError(f"column {column!r} is to be {target!r}; the file has {_list(names)}")
        name, number = target, None
        if target not in declared and (match := _ELEMENT.fullmatch(target)):
            name, number = match[1], int(match[2])
        if name not in declared:
            raise UnfitFileError(
                f"column {column!r} is to be {target!r}; {manifest.name} has {_list(list(declared))}"
            )
        told.setdefault(name, {}).setdefault(number, []).append(places[column])
    return {name: _told(declared[name], elements) for name, elements in told.items()}


def _told(spec: MetadataTensor, elements: Mapping[int | None, list[int]]) -> Binding:
    inner = inner_of(spec)
    if None in elements:
        columns = sorted(elements[None])
        if len(elements) > 1:
            raise UnfitFileError(f"columns are to be {spec.name!r} as a whole, and elements of it")
        if len(columns) == 1:
            return Binding(spec.name, tuple(columns), math.prod(inner) != 1)
    else:
        columns = [place for number in range(len(elements)) for place in elements.get(number, [])]
        if len(columns) != len(elements):
            raise UnfitFileError(f"columns are to be elements of {spec.name!r}, and not each of them is one")
    if -1 in inner or len(columns) != math.prod(inner):
        raise UnfitFileError(
            f"{len(columns)} columns are to be {spec.name!r}, a row of which has shape {list(inner)}"
        )
    return Binding(spec.name, tuple(columns), False)


def _bind_named(spec: MetadataTensor, places: Mapping[str, int], used: set[int]) -> Binding | None:
    place = places.get(spec.name)
    if place is not None and place not in used:
        return Binding(spec.name, (place,), math.prod(inner_of(spec)) != 1)
    inner = spec.shape[1:]
    if f"{spec.name}[0]" not in places or -1 in inner:
        return None
    columns = [places.get(name, -1) for name in element_names(spec.name, inner)]
    if min(columns) < 0 or used.intersection(columns):
        return None
    return Binding(spec.name, tuple(columns), False)


def _bind_placed(names: Sequence[str], used: set[int], manifest: Manifest) -> Binding | None:
    left = tuple(place for place in range(len(names)) if place not in used)
    fixed = [spec for spec in manifest.inputs if not spec.optional and -1 not in inner_of(spec)]
    fits = [spec for spec in fixed if math.prod(spec.shape[1:]) == len(left)]
    return Binding(fits[0].name, left, False) if len(fits) == 1 else None


def _check_complete(bound: Mapping[str, Binding], names: Sequence[str], manifest: Manifest) -> None:
    for spec in manifest.inputs:
        if spec.one_of is None and not spec.optional and spec.name not in bound:
            raise UnfitFileError(f"no column is {_words(spec)}; the file has {_list(names)}")
    for group in alternatives(manifest.inputs).values():
        wanted = " or ".join(" with ".join(map(_words, form)) for form in group.values())
        came = [form for form in group.values() if any(spec.name in bound for spec in form)]
        if len(came) != 1:
            found = "columns of several" if came else "none"
            raise UnfitFileError(
                f"exactly one of {wanted} was expected, got {found}; the file has {_list(names)}"
            )
        for spec in came[0]:
            if spec.name not in bound:
                raise UnfitFileError(f"no column is {_words(spec)}; the file has {_list(names)}")


def _words(spec: MetadataTensor) -> str:
    inner = inner_of(spec)
    if -1 in inner or math.prod(inner) == 1:
        return f"input {spec.name!r}"
    return f"input {spec.name!r} (one column, or {math.prod(inner)})"


def _list(names: Sequence[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(repr(name[:60]) for name in names[:_LISTED]) + more
