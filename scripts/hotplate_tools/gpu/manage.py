"""Starting, extending and stopping the model of a stack on SageMaker.

Rules kept here:

1. Nothing is started without a deadline and a budget, and nothing is extended to an earlier end: ending is
   `stop`'s.
2. What costs ends first: `stop` deletes the endpoint and then tells the stack. What holds begins first:
   `extend` writes the lease and then tells the stack.
3. A plan names every parameter that would change, so a dry run says all that would happen.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hotplate.aws.leases import deadline_text
from hotplate_tools.failures import FailedError, RefusedError
from hotplate_tools.planning.prices import read_prices
from hotplate_tools.publish.find import find_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate.aws.leases import LeasedEndpoint
    from hotplate_tools.console import Console
    from hotplate_tools.gpu.stack import GpuStack

__all__ = ["Change", "Wanted", "extend", "plan_extend", "plan_start", "plan_stop", "start", "stop"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to run.

    Attributes:
        model, version: As published; None takes what `alias` points at.
        alias: Of the model.
        mode: `async` or `realtime`.
        deadline: In seconds since 1970.
        budget_usd: What it may cost in all.
        instance_type, max_instances, image: None keeps what the stack has.
        usd_per_hour: What one instance asks; None the same, or what the table says for another instance.
    """

    model: str
    version: str | None
    alias: str
    mode: str
    deadline: float
    budget_usd: float
    instance_type: str | None = None
    max_instances: int | None = None
    usd_per_hour: float | None = None
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a command does.

    Attributes:
        parameters: New values of the stack's, those alone that change.
        endpoints: That are ended, or whose lease is extended.
        resets: Whether the stack has to learn first that its endpoint is gone.
    """

    parameters: dict[str, str]
    endpoints: list[LeasedEndpoint] = field(default_factory=list)
    resets: bool = False


def plan_start(stack: GpuStack, wanted: Wanted) -> Change:
    """Return what starting does.

    Raises:
        RefusedError: Something runs already, the deadline is past, the model is no graph or not published, or
            the image or the price is not known.
    """
    _refuse_past(wanted.deadline)
    if running := stack.endpoints():
        told = running[0].tags.get("hotplate:deadline", "no deadline")
        raise RefusedError(
            f"{running[0].name} runs already, with {told}",
            advice="`hotplate gpu extend` gives it more, `hotplate gpu stop` ends it.",
        )
    found = find_version(stack.store, wanted.model, wanted.version, alias=wanted.alias)
    if not found.manifest.has_graph:
        raise RefusedError(f"{wanted.model} is {found.manifest.platform}; the container runs graphs alone")
    image = wanted.image or stack.parameters["GpuImageDigest"]
    if not image:
        raise RefusedError(
            "the stack knows no image yet",
            advice="Build and push it as docs/23-sagemaker.md says, and give its digest with --image.",
        )
    asked = {
        "GpuMode": wanted.mode,
        "GpuModelName": wanted.model,
        "GpuModelVersion": found.version,
        "GpuManifestSha256": found.sha256,
        "GpuImageDigest": image,
        "GpuDeadline": deadline_text(wanted.deadline),
        "GpuBudgetUsd": f"{wanted.budget_usd:g}",
        **_instance(stack.parameters, wanted),
    }
    return Change(_changed(stack, asked), resets=stack.parameters["GpuMode"] != "off")


def start(stack: GpuStack, change: Change, console: Console) -> None:
    """Do it; returns when the endpoint is in service.

    Raises:
        FailedError: CloudFormation or SageMaker did not; nothing runs then.
    """
    if change.resets:
        with console.step(f"Telling the stack {stack.name} that its last endpoint is gone"):
            stack.update({"GpuMode": "off"})
    with console.step(f"Starting {stack.name}-gpu (minutes)"):
        stack.update({"GpuMode": stack.parameters["GpuMode"], **change.parameters})


def plan_extend(stack: GpuStack, *, deadline: float | None, budget_usd: float | None) -> Change:
    """Return what extending does.

    Raises:
        RefusedError: Nothing runs, or the end would not be later.
    """
    endpoint = _the_one(stack)
    asked = {}
    if deadline is not None:
        _refuse_past(deadline)
        is_told = stack.parameters["GpuDeadline"] == deadline_text(deadline)
        if endpoint.deadline is not None and _is_no_more(deadline, endpoint.deadline, is_told=is_told):
            raise RefusedError(
                f"its deadline is {deadline_text(endpoint.deadline)}, which is not before "
                f"{deadline_text(deadline)}",
                advice="`hotplate gpu stop` ends it.",
            )
        asked["GpuDeadline"] = deadline_text(deadline)
    if budget_usd is not None:
        is_told = stack.parameters["GpuBudgetUsd"] == f"{budget_usd:g}"
        if _is_no_more(budget_usd, endpoint.budget_usd, is_told=is_told):
            raise RefusedError(
                f"its budget is {endpoint.budget_usd:g} USD, which is not less than {budget_usd:g}",
                advice="`hotplate gpu stop` ends it.",
            )
        asked["GpuBudgetUsd"] = f"{budget_usd:g}"
    return Change(asked, [endpoint])


def _is_no_more(wanted: float, has: float, *, is_told: bool) -> bool:
    """Return whether nothing is extended; what the endpoint has and the stack was not told is told again."""
    return wanted < has or (wanted == has and is_told)


def extend(stack: GpuStack, change: Change, console: Console) -> None:
    """Do it.

    Raises:
        StoreError: SageMaker does not write the lease; nothing is changed.
        FailedError: The lease is extended, but the stack does not know.
    """
    names = {"GpuDeadline": "deadline", "GpuBudgetUsd": "budget_usd"}
    with console.step(f"Extending {change.endpoints[0].name}"):
        stack.leases.tag(
            change.endpoints[0], **{names[key]: value for key, value in change.parameters.items()}
        )
        try:
            stack.update(change.parameters)
        except FailedError as fault:
            raise FailedError(
                f"the lease is extended, but not the stack's parameters: {fault}",
                advice="A later deployment would write the old lease again; run the command once more.",
            ) from fault


def plan_stop(stack: GpuStack) -> Change:
    """Return what stopping does; nothing if nothing runs."""
    return Change(_changed(stack, {"GpuMode": "off"}), stack.endpoints())


def stop(stack: GpuStack, change: Change, console: Console) -> None:
    """Do it.

    Raises:
        StoreError: SageMaker does not delete it, now.
        FailedError: Nothing costs any more, but the stack does not know.
    """
    for endpoint in change.endpoints:
        with console.step(f"Ending {endpoint.name}"):
            stack.leases.delete(endpoint)
    if change.parameters:
        with console.step(f"Taking what is around it out of the stack {stack.name}"):
            stack.update(change.parameters)


def _the_one(stack: GpuStack) -> LeasedEndpoint:
    running = stack.endpoints()
    if not running:
        raise RefusedError(f"nothing of the stack {stack.name} runs on SageMaker")
    if len(running) > 1:
        names = ", ".join(each.name for each in running)
        raise RefusedError(f"one endpoint was expected, {names} run", advice="`hotplate gpu stop` ends all.")
    return running[0]


def _instance(parameters: Mapping[str, str], wanted: Wanted) -> dict[str, str]:
    kind = wanted.instance_type or parameters["GpuInstanceType"]
    price = wanted.usd_per_hour
    if price is None and kind != parameters["GpuInstanceType"]:
        price = next((item.hour for item in read_prices().sagemaker if item.instance == kind), None)
        if price is None:
            raise RefusedError(
                f"what {kind} asks is not in the price table", advice="Say it with --usd-per-hour."
            )
    found = {"GpuInstanceType": kind}
    if price is not None:
        found["GpuUsdPerHour"] = f"{price:g}"
    if wanted.max_instances is not None:
        found["GpuMaxInstances"] = str(wanted.max_instances)
    return found


def _changed(stack: GpuStack, asked: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in asked.items() if stack.parameters[name] != value}


def _refuse_past(deadline: float) -> None:
    if deadline <= time.time():
        raise RefusedError(f"a deadline in the future was expected, got {deadline_text(deadline)}")
