"""Requests: bytes to validated tensors, and back for clients.

Rules kept here, in this order, so that the first fault is the one reported:

1. The body splits into a JSON part and a binary part, and the JSON part is one object.
2. `id`, `parameters` and `outputs` are what the protocol says; null counts as absent.
3. Each input is known, comes once, and has the declared datatype, rank and fixed dimensions.
   A dimension declared -1 takes any size >= 0.
4. No input is missing: every one that is neither optional nor of a `one_of`, and exactly one alternative of
   each `one_of`, all of it.
5. Only then are elements looked at, and last of all is anything fetched that an input refers to.

Outputs are answered in the order asked for, or as declared if none is named. An output is binary if its
`binary_data` says so, else if the request's `binary_data_output` does, else JSON.

The JSON part of a binary request is read once and remembered by its bytes: callers repeat it, and only the
binary part is new. So nobody may change the parameters of a decoded request.

Law: `decode_request(encode_request(x)) == x`, tensors compared by value.
Source: Open Inference Protocol v2, "Inference Request" and "Binary Tensor Data Extension".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from hotplate.errors import (
    DatatypeMismatchError,
    MalformedRequestError,
    MissingInputError,
    ShapeMismatchError,
    UnknownInputError,
    UnknownOutputError,
)
from hotplate.protocol.binary_codec import split
from hotplate.protocol.json_document import Json, excerpt, fields, mapping, parse
from hotplate.protocol.tensor import (
    SentTensor,
    decode_tensors,
    encode_body,
    read_list,
    read_name,
    read_tensor,
)
from hotplate.protocol.types import (
    InferenceRequest,
    MetadataTensor,
    RequestOutput,
    Tensor,
    alternatives,
)

if TYPE_CHECKING:
    from hotplate.protocol.references import Fetch

__all__ = ["decode_request", "encode_request"]


def decode_request(
    body: bytes,
    *,
    header_length: str | None,
    inputs: Sequence[MetadataTensor],
    outputs: Sequence[MetadataTensor],
    fetch: Fetch | None = None,
) -> InferenceRequest:
    """Return the request in `body`, validated against a model's signature.

    Args:
        body: As received.
        header_length: The header `Inference-Header-Content-Length` as received; None for a JSON body.
        inputs: What the model declares to take.
        outputs: What it declares to give.
        fetch: Returns what an input refers to by `parameters.input_uri`; None where that is not taken.

    Returns:
        The request. Arrays of binary tensors are read-only views of `body`; they need not be aligned.

    Raises:
        MalformedRequestError: Body, header or a member cannot be read, or something comes twice.
        UnknownInputError, MissingInputError, UnknownOutputError: Not the model's signature.
        DatatypeMismatchError: Another datatype, or an element that is not of it.
        ShapeMismatchError: Rank, a fixed dimension or the element count differs, or the shape is too large.
        ValueRangeError: An element that its datatype cannot hold.
        PayloadTooLargeError, StoreError: Too much is referred to, or cannot be had; see `references`.
    """
    raw, section = split(body, header_length)
    head = _read_head(raw, inputs, outputs) if header_length is None else _recall(raw, inputs, outputs)
    tensors = decode_tensors(head.sent, document=raw, arrays=head.arrays, section=section, fetch=fetch)
    return InferenceRequest(head.id, tensors, head.outputs, head.parameters)


def encode_request(
    inputs: Sequence[Tensor],
    *,
    outputs: Sequence[RequestOutput] = (),
    id: str | None = None,  # noqa: A002 - the protocol's word
    binary: bool = True,
    references: Mapping[str, str] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> tuple[bytes, int | None]:
    """Return a request's body and the length of its JSON part (None if all of it is JSON).

    Args:
        inputs: In the order to be sent.
        outputs: What to answer; if empty, all outputs, binary if the inputs are.
        id: To be echoed.
        binary: Send the inputs as binary data.
        references: By name, where the elements of some inputs are; those are not sent.
        parameters: Of the request, besides what the other arguments say.

    Raises:
        DatatypeMismatchError: FP16 in JSON.
        ValueRangeError: Elements that JSON cannot hold.
        InferenceError: An array is not of its tensor's datatype.
    """
    head: dict[str, Any] = {} if id is None else {"id": id}
    more = dict(parameters or {})
    if outputs:
        head["outputs"] = [{"name": one.name, "parameters": {"binary_data": one.binary}} for one in outputs]
    elif binary:
        more["binary_data_output"] = True
    if more:
        head["parameters"] = more
    names = frozenset(tensor.name for tensor in inputs) if binary else frozenset[str]()
    return encode_body(head, "inputs", inputs, names, references)


class _Head(msgspec.Struct, frozen=True, eq=False):
    """A request's JSON part, validated; `arrays` is how many arrays it holds besides its tensors'."""

    id: str | None
    parameters: dict[str, Any]
    outputs: tuple[RequestOutput, ...]
    sent: list[SentTensor]
    arrays: int


# Heads of binary requests, which say the same again and again, by their bytes and the signature.
_HEADS: dict[tuple[bytes, tuple[MetadataTensor, ...], tuple[MetadataTensor, ...]], _Head] = {}
_MAX_HEADS = 64
_MAX_HEAD_BYTES = 1024


def _recall(raw: bytes, inputs: Sequence[MetadataTensor], outputs: Sequence[MetadataTensor]) -> _Head:
    """As `_read_head`, from memory if these bytes came before; one with elements in it is not remembered."""
    key = (raw, tuple(inputs), tuple(outputs))
    head = _HEADS.get(key)
    if head is None:
        head = _read_head(raw, inputs, outputs)
        if len(raw) <= _MAX_HEAD_BYTES and all(one.data is None for one in head.sent):
            if len(_HEADS) >= _MAX_HEADS:
                _HEADS.clear()
            _HEADS[key] = head
    return head


def _read_head(raw: bytes, inputs: Sequence[MetadataTensor], outputs: Sequence[MetadataTensor]) -> _Head:
    request = fields(parse(raw), ("id", "parameters", "inputs", "outputs"), what="the request")
    identity = request.get("id")
    if identity is not None and not isinstance(identity, str):
        raise MalformedRequestError("id of the request", expected="text", received=excerpt(identity))
    parameters = mapping(request.get("parameters", {}), what="parameters of the request")
    wanted = _read_outputs(request.get("outputs"), parameters, outputs)
    entries = read_list(request.get("inputs"), what="inputs of the request")
    sent = _read_inputs(entries, inputs)
    return _Head(identity, parameters, wanted, sent, 1 + ("outputs" in request))


def _read_outputs(
    node: Json, parameters: dict[str, Any], declared: Sequence[MetadataTensor]
) -> tuple[RequestOutput, ...]:
    default = _flag(parameters, "binary_data_output", what="the request", default=False)
    entries = [] if node is None else read_list(node, what="outputs of the request")
    known = {spec.name for spec in declared}
    wanted: dict[str, RequestOutput] = {}
    for entry in entries:
        output = fields(entry, ("name", "parameters"), what="an output")
        name = read_name(output, what="an output")
        what = f"output {excerpt(name)}"
        if name not in known:
            raise UnknownOutputError("outputs of the request", expected=_words(declared), received=what)
        if name in wanted:
            raise MalformedRequestError(
                "outputs of the request", expected="each once", received=f"{what} twice"
            )
        own = mapping(output.get("parameters", {}), what=f"parameters of {what}")
        wanted[name] = RequestOutput(name, _flag(own, "binary_data", what=what, default=default))
    return tuple(wanted.values()) or tuple(RequestOutput(spec.name, default) for spec in declared)


def _flag(parameters: dict[str, Any], name: str, *, what: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise MalformedRequestError(f"{name} of {what}", expected="true or false", received=excerpt(value))
    return value


def _read_inputs(entries: Sequence[Json], declared: Sequence[MetadataTensor]) -> list[SentTensor]:
    known = {spec.name: spec for spec in declared}
    found: dict[str, SentTensor] = {}
    for entry in entries:
        sent = read_tensor(entry, role="input")
        if sent.name not in known:
            raise UnknownInputError("inputs of the request", expected=_words(declared), received=sent.what)
        if sent.name in found:
            raise MalformedRequestError(
                "inputs of the request", expected="each once", received=f"{sent.what} twice"
            )
        _check_signature(sent, known[sent.name])
        found[sent.name] = sent
    _check_complete(found, declared)
    return list(found.values())


def _check_signature(sent: SentTensor, declared: MetadataTensor) -> None:
    if sent.datatype != declared.datatype:
        raise DatatypeMismatchError(
            f"datatype of {sent.what}", expected=declared.datatype, received=excerpt(sent.datatype)
        )
    fits = len(sent.shape) == len(declared.shape) and all(
        wanted in (-1, size) for wanted, size in zip(declared.shape, sent.shape, strict=True)
    )
    if not fits:
        raise ShapeMismatchError(
            f"shape of {sent.what}", expected=str(list(declared.shape)), received=str(list(sent.shape))
        )


def _check_complete(found: dict[str, SentTensor], declared: Sequence[MetadataTensor]) -> None:
    for spec in declared:
        if spec.one_of is None and not spec.optional:
            _refuse_missing(found, spec)
    for group in alternatives(declared).values():
        came = [form for form in group.values() if any(spec.name in found for spec in form)]
        wanted = f"exactly one of {', '.join(map(_together, group.values()))}"
        if not came:
            raise MissingInputError("inputs of the request", expected=wanted, received="none of them")
        if len(came) > 1:
            sent = [spec for form in came for spec in form if spec.name in found]
            raise MalformedRequestError("inputs of the request", expected=wanted, received=_words(sent))
        for spec in came[0]:
            _refuse_missing(found, spec)


def _refuse_missing(found: dict[str, SentTensor], spec: MetadataTensor) -> None:
    if spec.name not in found:
        raise MissingInputError(
            "inputs of the request", expected=f"input {excerpt(spec.name)}", received="none of that name"
        )


def _together(form: Sequence[MetadataTensor]) -> str:
    return " with ".join(excerpt(spec.name) for spec in form)


def _words(specs: Sequence[MetadataTensor]) -> str:
    return ", ".join(excerpt(spec.name) for spec in specs)
