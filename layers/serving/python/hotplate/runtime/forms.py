"""Which of a version's graphs this machine should run: the one made for its processor, or the portable.

Both give the same answers within rounding; a wrong choice would not, so the native one is taken only
when the plan names exactly this processor and this ONNX Runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from hotplate.runtime.isa import this_isa

if TYPE_CHECKING:
    from hotplate.manifest.schema import Manifest
    from hotplate.runtime.ledger import Ledger

__all__ = ["PROGRAM_FORM", "Form", "choose_form", "portable_form"]


class Form(NamedTuple):
    """What to fetch and how to load it.

    Attributes:
        graph, weights: Roles of the files.
        level: How far the graph is to be optimised at load.
    """

    graph: str
    weights: str
    level: Literal["all", "none"]

    @property
    def roles(self) -> frozenset[str]:
        """Every role of which files are fetched."""
        return frozenset({self.graph, self.weights, "asset"})


# A model that is Python or a pipeline has no graph and no weights: its assets are all there is to fetch.
PROGRAM_FORM = Form("", "", "none")


def portable_form(manifest: Manifest) -> Form:
    """Return the form that runs everywhere."""
    return Form("graph", "weights", manifest.plan.load_level)


def choose_form(manifest: Manifest, ledger: Ledger, onnxruntime: str) -> Form:
    """Return the form for this machine; the ledger is told when it is not the native one.

    Args:
        manifest: Of the version.
        ledger: Told.
        onnxruntime: Version of the ONNX Runtime that will load it.
    """
    plan = manifest.plan
    portable = portable_form(manifest)
    if plan.isa is None:
        return portable
    here = (this_isa(), onnxruntime)
    if here == (plan.isa, plan.native_onnxruntime):
        return Form("native-graph", "native-weights", "none")
    ledger.note(
        f"native files are for {plan.isa} and onnxruntime {plan.native_onnxruntime}, "
        f"this is {here[0]} and {here[1]}: the portable graph is used"
    )
    return portable
