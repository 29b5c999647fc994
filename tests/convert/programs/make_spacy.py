"""A tiny spaCy pipeline, saved by spaCy, and what it answers: rules, weights of a classifier, vectors."""

import json
import pathlib
import sys

import numpy as np
import spacy
from spacy.training import Example

sys.path[:0] = sys.argv[2:]
from functions.entities.model import Entities

folder = pathlib.Path(sys.argv[1])
spacy.util.fix_random_seed(0)
nlp = spacy.blank("en")
patterns = [
    {"label": "ORG", "pattern": "Apple"},
    {"label": "GPE", "pattern": [{"LOWER": "the"}, {"LOWER": "hague"}]},
]
ruler = nlp.add_pipe("entity_ruler")
bag = {
    "@architectures": "spacy.TextCatBOW.v3",
    "exclusive_classes": True,
    "ngram_size": 1,
    "no_output_layer": False,
    "length": 512,
}
nlp.add_pipe("textcat", config={"model": bag})
right = [("fine and good", {"GOOD": 1.0, "BAD": 0.0}), ("poor and bad", {"GOOD": 0.0, "BAD": 1.0})]
examples = [Example.from_dict(nlp.make_doc(text), {"cats": cats}) for text, cats in right]
optimizer = nlp.initialize(lambda: examples)
for _ in range(20):
    nlp.update(examples, sgd=optimizer)
for number, word in enumerate(["fine", "bad", "Apple"]):
    nlp.vocab.set_vector(word, np.arange(4, dtype=np.float32) + number)
ruler.add_patterns(patterns)  # initialising forgets them
nlp.to_disk(folder / "pipeline")

texts = ["Apple moves to The Hague, which is good", "naïve and bad", ""]
found = Entities(nlp).predict({"text": np.array([text.encode() for text in texts], object)})
answers = {
    name: [each.decode() if isinstance(each, bytes) else each for each in array.tolist()]
    for name, array in found.items()
}
row = {"inputs": {"text": texts}, "outputs": answers}
(folder / "golden.jsonl").write_text(json.dumps(row) + "\n")
