"""The golden rows that a version carries, held against the form that is served.

A smaller variant is held to the same rows as the float graph: the answers stay the owner's or the
framework's, and labels in them must not change. Numbers may be off by twice what the variant was found
to be, which is its own rounding: another machine may round the other way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hotplate.manifest.schema import Golden
from hotplate_tools.convert.converted import golden_documents
from hotplate_tools.convert.parity import up
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.golden import farthest, generate, read_rows, replay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate.protocol.types import MetadataTensor
    from hotplate.runtime.session import Session
    from hotplate.runtime.transforms import Transforms
    from hotplate_tools.convert.converted import Conversion
    from hotplate_tools.publish.graph import Graph
    from hotplate_tools.publish.source import Source

__all__ = ["pinned_rows"]

# Generated answers come from this machine's processor; another one rounds differently. Ours.
GENERATED_RTOL = 1e-3
GENERATED_ATOL = 1e-4

type Documents = Sequence[dict[str, dict[str, Any]]]


def pinned_rows(
    source: Source,
    graph: Graph,
    session: Session,
    transforms: Transforms | None,
    *,
    original: Session | None = None,
) -> tuple[Golden | None, bytes, tuple[str, ...]]:
    """Return how golden rows are compared, their bytes, and what the publisher should know.

    Args:
        source: What is published.
        graph: Its float graph.
        session: Of the form that is served.
        transforms: Around the graph.
        original: Of the float form, where what is served is a smaller variant.

    Raises:
        RefusedError: The form does not answer as the rows say; or rows are needed, and there are none.
    """
    if source.spec and source.spec.golden and source.golden:
        raw, rows = read_rows(source.golden)
        golden = Golden(rows=len(rows), rtol=source.spec.golden.rtol, atol=source.spec.golden.atol)
        inputs = [spec.declared() for spec in source.spec.inputs]
        outputs = [spec.declared() for spec in source.spec.outputs]
        return _held(golden, rows, inputs, outputs, session, transforms, original), raw, ()
    if transforms:
        raise RefusedError(
            f"{source.name} has pre- and postprocessing of its own, but no golden rows",
            advice="Name a file of them in model.yaml: only rows can tell whether both fit this graph.",
        )
    if source.conversion and source.conversion.golden:
        golden, raw = source.conversion.golden, source.conversion.golden_rows
        held = _held(golden, golden_documents(raw), graph.inputs, graph.outputs, session, None, original)
        return held, raw, _conversion_warnings(source.conversion)
    raw, count = generate(graph.inputs, session)
    if not count:
        warning = "no golden rows: the graph gives no stable answer to made-up inputs; add some of your own"
        return None, b"", (warning,)
    golden = Golden(rows=count, rtol=GENERATED_RTOL, atol=GENERATED_ATOL)
    if original:
        # These rows are the variant's own answers: what it is off by, the float form is off from them.
        rows = golden_documents(raw)
        golden = _widened(golden, rows, graph.inputs, graph.outputs, original, None)
    return golden, raw, ()


def _held(
    golden: Golden,
    rows: Documents,
    inputs: Sequence[MetadataTensor],
    outputs: Sequence[MetadataTensor],
    session: Session,
    transforms: Transforms | None,
    original: Session | None,
) -> Golden:
    if original:
        golden = _widened(golden, rows, inputs, outputs, session, transforms)
    replay(rows, inputs=inputs, outputs=outputs, session=session, transforms=transforms, bounds=golden)
    return golden


def _widened(
    golden: Golden,
    rows: Documents,
    inputs: Sequence[MetadataTensor],
    outputs: Sequence[MetadataTensor],
    session: Session,
    transforms: Transforms | None,
) -> Golden:
    off = farthest(rows, inputs=inputs, outputs=outputs, session=session, transforms=transforms)
    return msgspec.structs.replace(golden, atol=max(golden.atol, up(2 * off)))


def _conversion_warnings(conversion: Conversion) -> tuple[str, ...]:
    if not conversion.parity.made_up:
        return ()
    return ("the conversion was compared on made-up rows; rows of your own (--rows) prove more",)
