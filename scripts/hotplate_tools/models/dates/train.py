"""The trainer of the dates network, exported by `torch.export` to `.pt2`: `hotplate train dates`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from functions.dates.model import START, preprocess, read
from hotplate_tools.failures import FailedError
from hotplate_tools.models.dates.forms import Form, all_days, all_forms, is_writable, misspelt, written
from hotplate_tools.training.trainer import ROWS, ask_in_batches, objects

if TYPE_CHECKING:
    import torch

    from hotplate_tools.models.dates.network import DateNetwork
    from hotplate_tools.training.packages import Package
    from hotplate_tools.training.trainer import Arrays, Ask

    Array = np.ndarray[Any, Any]

__all__ = ["DATA", "NOTE", "SEED", "build", "evaluate", "export", "golden", "prepare", "train"]

DATA: tuple[Package, ...] = ()
NOTE = "days of 1900 to 2099, written down by rule; a sixth of the forms and a tenth of the days held out"
SEED = 5

HELD_OUT_FORMS = 1 / 6
HELD_OUT_DAYS = 1 / 10
HELD_OUT_TEXTS = 2000
MISSPELT = 0.2
STEPS = 2600
BATCH = 64
LEARNING_RATE = 3e-3

# The example of the export, and sizes that it has nothing in common with.
EXPORTED = (2, 24, 5)
OTHERS = ((1, 7, 1), (3, 41, 8), (5, 64, 3))

GOLDEN = (
    "2021-03-02",
    "the 3rd of March 2021",
    "Wed, 3 Mar 2021",
    "24. Dezember 1999",
    "le 1er février 1988",
    "15 de agosto de 2051",
    "12/31/99",
    "septmber 9, 2001",
)


@dataclass(frozen=True)
class Written:
    """What is trained on: every one of these days in every one of these forms."""

    forms: Sequence[Form]
    days: Sequence[date]


def prepare(packages: Sequence[Path]) -> tuple[Written, Arrays]:
    """Return forms and days to train on; held out: `text`, `misspelt` and `date` of others."""
    random = Random(SEED)  # noqa: S311 - no secret
    forms, days = all_forms(), all_days()
    random.shuffle(forms)
    random.shuffle(days)
    form_cut, day_cut = round(len(forms) * HELD_OUT_FORMS), round(len(days) * HELD_OUT_DAYS)
    rest = Written(forms[:form_cut], days[:day_cut])
    pairs = _drawn(rest, HELD_OUT_TEXTS, random)
    held_out = {
        "text": objects(text.encode() for text, _ in pairs),
        "misspelt": objects(misspelt(text, random).encode() for text, _ in pairs),
        "date": objects(day.isoformat().encode() for _, day in pairs),
    }
    return Written(forms[form_cut:], days[day_cut:]), held_out


def build(training: Written) -> DateNetwork:
    """Return the untrained network."""
    import torch

    from hotplate_tools.models.dates.network import DateNetwork

    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    return DateNetwork()


def train(network: DateNetwork, training: Written) -> None:
    """Fit the network in place, on texts drawn anew in every step, a fifth of them misspelt."""
    import torch

    random = Random(SEED)  # noqa: S311 - no secret
    optimiser = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.98))
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, STEPS, pct_start=0.1)
    network.train()
    for step in range(STEPS):
        pairs = _drawn(training, BATCH, random)
        texts = [misspelt(text, random) if random.random() < MISSPELT else text for text, _ in pairs]
        digits = torch.tensor([[int(digit) for digit in f"{day:%Y%m%d}"] for _, day in pairs])  # (BATCH, 8)
        start = torch.full((BATCH, 1), START)
        scores = network(torch.from_numpy(_source(texts)), torch.cat([start, digits[:, :-1]], dim=1))
        loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), digits.flatten())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        rate.step()
        if step % 200 == 0:
            print(f"step {step} of {STEPS}, loss {loss.item():.4f}", flush=True)  # noqa: T201 - shown live
    network.eval()


def export(network: DateNetwork, training: Written, held_out: Arrays, folder: Path) -> str:
    """Write the network as a program, and rows for the parity gate.

    A program is its own reference there, so it is compared with the network here, at sizes that it was
    not exported with.

    Raises:
        FailedError: They differ.
    """
    import torch

    # The fused kernel that PyTorch takes for inference is no operator of ONNX.
    torch.backends.mha.set_fastpath_enabled(False)
    batch, length, digits = (torch.export.Dim(name) for name in ("texts", "bytes", "digits"))
    shapes = {"source": {0: batch, 1: length}, "target": {0: batch, 1: digits}}
    network.eval()
    program = torch.export.export(network, (), kwargs=_example(*EXPORTED), dynamic_shapes=shapes)
    with torch.no_grad():
        for sizes in OTHERS:
            example = _example(*sizes)
            apart = (program.module()(**example) - network(**example)).abs().max().item()
            if not apart < 1e-4:
                raise FailedError(f"the exported program is {apart} off the network at sizes {sizes}")
    torch.export.save(program, folder / "dates.pt2")
    source = preprocess({"text": held_out["text"][:64]})["source"]
    written_digits = [[START, *map(int, day.decode().replace("-", ""))][:8] for day in held_out["date"][:64]]
    np.savez(folder / ROWS, source=source, target=np.array(written_digits, np.int64))
    return "dates.pt2"


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return the shares of dates that are right in all digits, of texts as written and misspelt.

    `right_when_sure` is the share among the misspelt that are answered with a confidence of 0.9 or more,
    `sure` how many those are.
    """
    metrics = {}
    for metric, form in (("exact_match", "text"), ("exact_match_misspelt", "misspelt")):
        found = ask_in_batches(ask, {"text": held_out[form]}, rows=50)
        right = found["date"] == held_out["date"]
        metrics[metric] = float(right.mean())
    sure = found["confidence"] >= 0.9
    return metrics | {"right_when_sure": float(right[sure].mean()), "sure": float(sure.mean())}


def golden(ask: Ask, held_out: Arrays) -> list[Arrays]:
    """Return dates as people write them, each alone, and twelve held-out ones in one batch."""
    alone = [{"text": objects([text.encode()])} for text in GOLDEN]
    return [*alone, {"text": held_out["text"][:12]}]


def _drawn(texts: Written, count: int, random: Random) -> list[tuple[str, date]]:
    """Return texts with the days that they stand for."""
    pairs: list[tuple[str, date]] = []
    while len(pairs) < count:
        form, day = random.choice(texts.forms), random.choice(texts.days)
        if is_writable(form, day):
            pairs.append((written(form, day), day))
    return pairs


def _source(texts: Sequence[str]) -> Array:
    encoded = objects(read(text).encode() for text in texts)
    return preprocess({"text": encoded})["source"]


def _example(batch: int, length: int, digits: int) -> dict[str, torch.Tensor]:
    """Return inputs of these sizes; the second half of the last text is not there."""
    import torch

    source = torch.arange(batch * length).reshape(batch, length) % 256 + 1
    source[-1, length // 2 + 1 :] = 0
    target = torch.arange(batch * digits).reshape(batch, digits) % START
    target[:, 0] = START
    return {"source": source, "target": target}
