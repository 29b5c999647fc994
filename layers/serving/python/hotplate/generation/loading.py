"""A version that generates text, loaded: a model as any other, its tokenizer, the graph that remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotplate.errors import GraphError, InferenceError, ManifestError
from hotplate.generation.generator import Answer, Asked, read_vocabulary
from hotplate.generation.steps import steps_of
from hotplate.runtime.cached import CachedGraph
from hotplate.runtime.loader import build_model
from hotplate.runtime.model import Model, TransformedGraph
from hotplate.runtime.session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate.generation.generator import Graph, Vocabulary
    from hotplate.runtime.fetched import Fetched
    from hotplate.runtime.ledger import Ledger
    from hotplate.runtime.transforms import Transforms
    from hotplate.settings import Settings

__all__ = ["TextModel", "build_text_model"]

# Tokens of the first run: as many as go through the kernels of prompts, and then one through those of
# answers.
_WARM_TOKENS = 32


class TextModel(Model, frozen=True):
    """A model that generates text.

    Attributes:
        vocabulary: Its tokenizer.
        graph: What gives logits, one conversation at a time.
    """

    vocabulary: Vocabulary
    graph: Graph

    def answer(self, asked: Asked) -> Answer:
        """Return an answer that is made while it is iterated; the one before must have ended."""
        return Answer(asked, self.graph, self.vocabulary)


def build_text_model(fetched: Fetched, settings: Settings, ledger: Ledger) -> TextModel:
    """Return the model made of verified bytes; warmed up where nobody waits for init to end.

    Raises:
        ManifestError: It is no graph, or its assets are none of a model that generates text.
        GraphError: ONNX Runtime does not load it, or its tensors are not those of such a model.
    """
    made: list[Vocabulary] = []

    def steps(assets: Mapping[str, bytes]) -> Transforms:
        made.append(read_vocabulary(assets))
        return steps_of(made[0])

    plain = build_model(fetched, settings, ledger, steps, warms_up=False)
    (vocabulary,), predictor = made, plain.predictor
    session = predictor.session if isinstance(predictor, TransformedGraph) else None
    if not isinstance(session, Session):
        raise ManifestError(
            f"{plain.manifest.name}: weights of a model that generates are rearranged at once"
        )
    graph = CachedGraph(session, vocabulary.config.context)
    model = TextModel(plain.manifest, plain.version, predictor, ledger, vocabulary, graph)
    if not settings.is_on_demand:
        with ledger.phase("warmup"):
            _warm_up(model)
    return model


def _warm_up(model: TextModel) -> None:
    index = min(model.vocabulary.ends)
    try:
        for _ in model.answer(Asked([index] * _WARM_TOKENS, 2, temperature=0)):
            pass
    except InferenceError as fault:
        raise GraphError(f"the graph does not run: {fault}") from fault
