"""Models that are built, not committed, over HTTP: as good as their bars, right and wrong requests."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import openai
import pytest

from hotplate_tools.console import Console
from hotplate_tools.local.deployed import served_models
from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.naming import module_name
from hotplate_tools.project import project_root
from hotplate_tools.training.driver import fetched, read_trained_spec, refuse_under
from hotplate_tools.training.stored import is_pipeline, model_folder, source_folder, trained_models
from hotplate_tools.training.trainer import load_trainer, objects
from tests.support.endpoint import answers, infer
from tests.support.http_call import call

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

SERVED = [model.name for model in served_models(read_yaml(project_root() / "template.yaml"))]
BUILT = [
    name
    for name in trained_models()
    if name in SERVED and (model_folder(name) != source_folder(name) or is_pipeline(name))
]

FRAME = np.zeros((1, 576), np.float32)
STATE = np.zeros((2, 1, 128), np.float32)
RATE = np.array(16_000, np.int64)
PIXELS = np.zeros((1, 3, 224, 224), np.float32)


def test_there_are_built_models() -> None:
    named = {"entities", "imagenet", "magika", "ocr", "sentence-embeddings", "smollm2", "voice-activity"}
    assert named <= set(BUILT)


@pytest.mark.parametrize("name", BUILT)
def test_endpoint_is_as_good_as_its_bars(server: str, name: str) -> None:
    trainer = load_trainer(module_name(name))
    held_out = trainer.prepare(fetched(trainer, Console(as_json=True)))[1]
    metrics = trainer.evaluate(lambda inputs: answers(server, name, **inputs), held_out)
    refuse_under(read_trained_spec(name)[1].bars, metrics)


@pytest.mark.parametrize("name", BUILT)
def test_golden_rows_are_answered_over_http_as_json(server: str, name: str) -> None:
    folder = model_folder(name)
    spec = read_trained_spec(name)[0]
    assert spec.golden
    declared = {tensor.name: tensor for tensor in spec.inputs}
    for line in (folder / spec.golden.file).read_text("utf-8").splitlines():
        row = json.loads(line)
        inputs = [entry(declared[key].datatype, key, data) for key, data in row["inputs"].items()]
        outputs = [{"name": key} for key in row["outputs"]]
        body = json.dumps({"inputs": inputs, "outputs": outputs}).encode()
        answer = call(server, "POST", f"/v2/models/{name}/infer", body)
        assert answer.status == 200, answer.body
        for output in answer.json()["outputs"]:
            wanted = np.array(row["outputs"][output["name"]]).ravel()
            if output["datatype"] == "BYTES":
                assert output["data"] == wanted.tolist()
            else:
                rtol, atol = spec.golden.rtol, spec.golden.atol
                np.testing.assert_allclose(output["data"], wanted, rtol=rtol, atol=atol)


def entry(datatype: str, name: str, data: Any) -> dict[str, Any]:
    """Return a golden row's data as an input of a request."""
    if datatype != "BYTES":
        return {"name": name, "datatype": datatype, "shape": np.shape(data), "data": data}
    raw = [base64.b64decode(one["b64"]) if isinstance(one, dict) else one.encode() for one in data]
    texts = [base64.b64encode(one).decode() for one in raw]
    parameters = {"content_type": "base64"}
    return {"name": name, "datatype": datatype, "shape": [len(raw)], "data": texts, "parameters": parameters}


def test_kinds_of_files_are_told_apart(server: str) -> None:
    files = (
        b"import os\nprint(os.name)\n" * 9,
        b'{"a": [1, 2], "b": null}\n' * 1,
        b"",
        b" \n",
        b"\xff\xfe\xfd",
    )
    found = answers(server, "magika", file=objects(files))
    assert found["label"].tolist() == [b"python", b"json", b"empty", b"txt", b"unknown"]
    assert found["mime_type"].tolist()[:2] == [b"text/x-python", b"application/json"]
    assert found["score"].tolist()[2:] == [1, 1, 1]
    assert found["probabilities"].shape == (5, 214)
    assert not found["probabilities"][2:].any()


def test_stream_of_two_speakers_keeps_its_state_with_the_caller(server: str) -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, (2, 576)).astype(np.float32)
    both = answers(server, "voice-activity", input=noise, state=np.zeros((2, 2, 128), np.float32), sr=RATE)
    assert (both["output"].shape, both["stateN"].shape) == ((2, 1), (2, 2, 128))
    for stream in (0, 1):
        alone = answers(server, "voice-activity", input=noise[stream : stream + 1], state=STATE, sr=RATE)
        np.testing.assert_allclose(alone["output"][0], both["output"][stream], atol=1e-5)
        np.testing.assert_allclose(alone["stateN"][:, 0], both["stateN"][:, stream], atol=1e-4)


def test_recording_is_answered_by_a_probability_every_512_samples(server: str) -> None:
    for samples, frames in ((0, 0), (1, 1), (512, 1), (513, 2), (16_000, 32)):
        found = answers(server, "voice-activity", waveform=np.zeros(samples, np.float32))
        assert found["output"].shape == (frames, 1)
        assert found["stateN"].shape == (2, 1, 128)


def test_embeddings_are_unit_vectors_that_do_not_depend_on_the_other_texts(server: str) -> None:
    texts = objects([b"A man is eating.", b"", b"word " * 5000, "Größe, 東京 😀".encode()])
    found = answers(server, "sentence-embeddings", text=texts)["embedding"]
    assert found.shape == (4, 384)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    alone = answers(server, "sentence-embeddings", text=texts[:1])["embedding"]
    np.testing.assert_array_equal(alone, found[:1])


def test_photograph_gets_five_names_the_best_first(server: str) -> None:
    trainer = load_trainer("imagenet")
    held_out = trainer.prepare(fetched(trainer, Console(as_json=True)))[1]
    found = answers(server, "imagenet", image_file=held_out["image_file"][-1:])
    assert found["label"][0, 0] == b"daisy"
    assert found["class"][0, 0] == 985
    assert (np.diff(found["score"][0]) <= 0).all()
    np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1, atol=1e-4)


def test_entities_and_tokens_lie_where_the_text_says_so(server: str) -> None:
    texts = ["😀 Zoë Müller met Barack Obama in New York.", "", " \n", "Größe, 東京 and \x00"]
    found = answers(server, "entities", text=objects(text.encode() for text in texts))
    entities, tokens = ([json.loads(raw) for raw in found[name]] for name in ("entities", "tokens"))
    named = {(one["text"], one["label"]) for one in entities[0]}
    assert {("Barack Obama", "PERSON"), ("New York", "GPE")} <= named
    assert (entities[1:3], tokens[1]) == ([[], []], [])
    for row, text in enumerate(texts):
        for one in (*entities[row], *tokens[row]):
            assert text[one["start"] : one["end"]] == one["text"]
    assert ("met", "meet", "VERB") in {(one["text"], one["lemma"], one["pos"]) for one in tokens[0]}
    assert found["vector"].shape == (4, 96)
    assert not found["vector"][1].any()


def test_entities_of_a_text_do_not_depend_on_the_other_texts(server: str) -> None:
    texts = objects([b"Apple moved to Cork in 1980.", b"word " * 3000, b"x"])
    both = answers(server, "entities", text=texts)
    alone = answers(server, "entities", text=texts[:1])
    for name, array in alone.items():
        np.testing.assert_array_equal(array, both[name][:1])


def test_no_rows_give_no_rows(server: str) -> None:
    nothing = objects([])
    assert answers(server, "magika", file=nothing)["probabilities"].shape == (0, 214)
    assert answers(server, "sentence-embeddings", text=nothing)["embedding"].shape == (0, 384)
    assert answers(server, "imagenet", image_file=nothing)["label"].shape == (0, 5)
    assert answers(server, "entities", text=nothing)["vector"].shape == (0, 96)
    none = answers(server, "voice-activity", input=FRAME[:0], state=STATE[:, :0], sr=RATE)
    assert (none["output"].shape, none["stateN"].shape) == ((0, 1), (2, 0, 128))


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "too many files": ("magika", {"file": objects([b""] * 257)}, "at most 256 files"),
    "a sample that is not finite": (
        "voice-activity",
        {"waveform": np.full(9, np.nan, np.float32)},
        "waveform[0]",
    ),
    "samples not divided": (
        "voice-activity",
        {"waveform": np.full(9, 900, np.float32)},
        "divide 16-bit samples",
    ),
    "another rate": (
        "voice-activity",
        {"input": FRAME, "state": STATE, "sr": RATE // 2},
        "16000 samples a second",
    ),
    "a state of other streams": (
        "voice-activity",
        {"input": FRAME, "state": STATE[:, :0], "sr": RATE},
        "[2, 1, 128]",
    ),
    "a state that is not finite": (
        "voice-activity",
        {"input": FRAME, "state": STATE + np.inf, "sr": RATE},
        "zeros",
    ),
    "a frame without its state": ("voice-activity", {"input": FRAME, "sr": RATE}, "state"),
    "both forms": ("voice-activity", {"waveform": FRAME[0], "sr": RATE}, "exactly one of"),
    "no audio": ("voice-activity", {}, "'waveform', 'input' with 'state' with 'sr'"),
    "text that is not UTF-8": ("sentence-embeddings", {"text": objects([b"a", b"\xff"])}, "text[1]"),
    "too many texts": ("sentence-embeddings", {"text": objects([b""] * 2049)}, "at most 2048 texts"),
    "a sentence that is not UTF-8": ("entities", {"text": objects([b"a", b"\xff"])}, "text[1]"),
    "half of a surrogate pair": ("entities", {"text": objects([b"\xed\xa0\x80"])}, "UTF-8"),
    "too many sentences": ("entities", {"text": objects([b""] * 257)}, "at most 256 texts"),
    "too long a text": ("entities", {"text": objects([b"ab " * 3334] * 2)}, "at most 20000 characters"),
    "too long a word": ("entities", {"text": objects([b"a", b"!" * 257])}, "words of at most 256"),
    "a picture that is none": ("imagenet", {"image_file": objects([b"hello"])}, "PNG or JPEG"),
    "too many pictures": ("imagenet", {"image_file": objects([b""] * 33)}, "at most 32 files"),
    "grey levels not scaled": ("imagenet", {"image": PIXELS + 255}, "(x - 127) / 128"),
    "pixels of another size": ("imagenet", {"image": PIXELS[:, :, :-1]}, "[-1, 3, 224, 224]"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_request_is_told_what_is_wrong(server: str, case: str) -> None:
    model, inputs, words = WRONG[case]
    answer = infer(server, model, **inputs)
    assert answer.status == 400, answer.body
    assert words in answer.json()["error"]


@pytest.mark.parametrize("base", ["/v1", "/openai/v1"])
@pytest.mark.parametrize("encoding", ["float", "base64", None], ids=str)
def test_openais_client_gets_the_models_embeddings(server: str, base: str, encoding: Any) -> None:
    texts = ["A man is eating his dinner.", "Someone is having a meal."]
    expected = answers(server, "sentence-embeddings", text=objects([text.encode() for text in texts]))
    # Left out, the client asks for base64 and decodes it.
    more = {"encoding_format": encoding} if encoding else {}
    with openai.OpenAI(base_url=server + base, api_key="none", max_retries=0) as client:
        both = client.embeddings.create(model="sentence-embeddings", input=texts, **more)
        one = client.embeddings.create(model="sentence-embeddings", input=texts[0], **more)
    found: list[Any] = [each.embedding for each in both.data]
    if encoding == "base64":
        found = [np.frombuffer(base64.b64decode(each), "<f4") for each in found]
    np.testing.assert_allclose(np.stack(found), expected["embedding"], atol=1e-6)
    assert both.usage.prompt_tokens == both.usage.total_tokens == expected["tokens"].sum()
    assert (len(one.data), one.model) == (1, "sentence-embeddings")
    assert one.usage.prompt_tokens == expected["tokens"][0]


def test_batch_that_would_outlast_api_gateway_is_refused_with_words(server: str) -> None:
    body = {"model": "sentence-embeddings", "input": [""] * 2048}
    answer = call(server, "POST", "/v1/embeddings", json.dumps(body).encode())
    assert answer.status == 400
    assert "split it" in answer.json()["error"]["message"]
