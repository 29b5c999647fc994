"""The template with a model's infer route at the relay: that one route, and nothing else but its time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hotplate_tools.cli import cli
from hotplate_tools.failures import RefusedError
from hotplate_tools.local.intrinsics import parse_yaml
from hotplate_tools.new.block import with_model
from hotplate_tools.new.relayed import TIMEOUT_S, answering, is_relayed, relayed
from hotplate_tools.project import project_root
from hotplate_tools.publish.fallback import direct_route_of

TEXT = (project_root() / "template.yaml").read_text()
BASES = ("/v1", "/openai/v1")
DOCUMENT = parse_yaml(TEXT, "template.yaml")


def without(document: Mapping[str, Any], *functions: str) -> dict[str, Any]:
    return {name: each for name, each in document["Resources"].items() if name not in functions}


@pytest.mark.parametrize("name", ["digits", "voice-activity"])
def test_route_moves_and_all_else_stays(name: str) -> None:
    function = "".join(part.title() for part in name.split("-")) + "Function"
    moved = parse_yaml(relayed(TEXT, name), "template.yaml")
    assert (is_relayed(DOCUMENT, name), is_relayed(moved, name)) == (False, True)
    assert without(moved, function, "RelayFunction") == without(DOCUMENT, function, "RelayFunction")
    before, after = (each["Resources"][function]["Properties"] for each in (DOCUMENT, moved))
    kept = {key: each for key, each in before["Events"].items() if key != "Infer"}
    assert after == {**before, "Events": kept, "Timeout": TIMEOUT_S}
    before, after = (each["Resources"]["RelayFunction"]["Properties"] for each in (DOCUMENT, moved))
    route = DOCUMENT["Resources"][function]["Properties"]["Events"]["Infer"]
    assert after == {
        **before,
        "Events": {f"{function.removesuffix('Function')}Infer": route, **before["Events"]},
    }


def test_model_of_the_users_own_moves_likewise() -> None:
    text = relayed(with_model(TEXT, DOCUMENT, "own.model", "1", "0" * 64, package="tensor"), "own.model")
    document = parse_yaml(text, "template.yaml")
    assert is_relayed(document, "own.model")
    assert "Infer" not in document["Resources"]["OwnModelFunction"]["Properties"]["Events"]
    assert is_relayed(document, "digits") is False


@pytest.mark.parametrize("name", ["nope", "breast-cancer"])
def test_what_cannot_be_moved_is_refused(name: str) -> None:
    with pytest.raises(RefusedError, match=r"no resource NopeFunction|no event for POST"):
        relayed(TEXT, name)
    assert is_relayed(DOCUMENT, "nope") is None


def test_all_that_asks_a_model_which_generates_text_moves_to_the_relay_that_streams() -> None:
    text = relayed(TEXT, "smollm2")
    moved = parse_yaml(text, "template.yaml")
    assert answering(moved, "smollm2") == "StreamRelayFunction"
    pair = ("Smollm2Function", "StreamRelayFunction")
    assert without(moved, *pair) == without(DOCUMENT, *pair)
    own, relay = (events_of(moved, name) for name in pair)
    asked = {
        *(f"/v2/models/smollm2/{verb}" for verb in ("infer", "generate", "generate_stream")),
        *(f"{base}/{what}" for base in BASES for what in ("chat/completions", "completions")),
    }
    assert set(relay) == asked
    assert set(own) == set(events_of(DOCUMENT, "Smollm2Function")) - asked
    for properties in relay.values():
        assert (properties["ResponseTransferMode"], properties["TimeoutInMillis"]) == (
            "RESPONSE_STREAM",
            600_000,
        )
    function = moved["Resources"]["StreamRelayFunction"]["Properties"]
    assert function["Timeout"] * 1000 == 600_000
    before = DOCUMENT["Resources"]["Smollm2Function"]["Properties"]
    assert moved["Resources"]["Smollm2Function"]["Properties"]["Timeout"] == before["Timeout"]
    # A second one finds the completions there already.
    two = relayed(relayed(with_model(TEXT, DOCUMENT, "own", "1", "0" * 64, generates=True), "smollm2"), "own")
    both = events_of(parse_yaml(two, "template.yaml"), "StreamRelayFunction")
    assert set(both) == asked | {path.replace("smollm2", "own") for path in asked if "smollm2" in path}
    with pytest.raises(RefusedError, match="no model that generates text whose block could be copied"):
        with_model(text, moved, "own", "1", "0" * 64, generates=True)


def test_model_of_the_users_own_that_generates_text_has_no_completions_of_its_own() -> None:
    text = with_model(TEXT, DOCUMENT, "own", "1", "0" * 64, generates=True)
    document = parse_yaml(text, "template.yaml")
    own = document["Resources"]["OwnFunction"]["Properties"]
    assert (own["CodeUri"], own["Handler"]) == ("functions/chat/", "functions.chat.app.lambda_handler")
    paths = set(events_of(DOCUMENT, "Smollm2Function"))
    assert set(events_of(document, "OwnFunction")) == {
        path.replace("smollm2", "own") for path in paths if "smollm2" in path
    }
    told = document["Resources"]["StreamRelayFunction"]["Properties"]["Environment"]["Variables"]
    assert [each["Fn::Sub"] for each in told["HOTPLATE_FUNCTIONS"]["Fn::Join"][1]] == [
        "smollm2=${Smollm2Function}:live",
        "own=${OwnFunction}:live",
    ]
    # Its completions are those of the relay, and so are all others' then.
    moved = parse_yaml(relayed(text, "own"), "template.yaml")
    assert {path for path in events_of(moved, "StreamRelayFunction") if path.startswith("/v2")} == {
        f"/v2/models/own/{verb}" for verb in ("infer", "generate", "generate_stream")
    }
    assert "/v1/chat/completions" in events_of(moved, "StreamRelayFunction")
    assert "/v1/chat/completions" not in events_of(moved, "Smollm2Function")
    assert answering(moved, "smollm2") == "Smollm2Function"


def events_of(document: Mapping[str, Any], function: str) -> dict[str, Any]:
    events = document["Resources"][function]["Properties"]["Events"].values()
    return {each["Properties"]["Path"]: each["Properties"] for each in events}


def test_command_moves_it_once_and_publishing_says_where_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "layers").mkdir()
    template = tmp_path / "template.yaml"
    template.write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    assert "`hotplate relay digits`" in direct_route_of("digits")
    assert direct_route_of("nope") == ""

    def run(*more: str) -> str:
        found = CliRunner().invoke(cli, ["relay", "digits", *more])
        assert found.exit_code == 0, found.output
        return found.stdout.strip()

    assert run("--dry-run").startswith("would move POST /v2/models/digits/infer")
    assert template.read_text() == TEXT
    assert run().startswith("moved POST /v2/models/digits/infer to RelayFunction")
    assert template.read_text() == relayed(TEXT, "digits")
    assert (run(), direct_route_of("digits")) == ("POST /v2/models/digits/infer is the relay's already", "")
    assert template.read_text() == relayed(TEXT, "digits")
    monkeypatch.chdir("/")
    assert direct_route_of("digits") == ""
