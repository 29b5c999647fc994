"""What the commands about a stack's model on SageMaker print."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hotplate.aws.leases import deadline_text

if TYPE_CHECKING:
    from hotplate.aws.leases import LeasedEndpoint
    from hotplate_tools.gpu.manage import Change
    from hotplate_tools.gpu.stack import GpuStack

__all__ = ["change_data", "change_text", "status_data", "status_text"]


def status_data(stack: GpuStack, now: float) -> dict[str, Any]:
    """Return what runs at `now`, in seconds since 1970, and what the stack says should."""
    said = stack.parameters
    endpoints = [_endpoint(each, now) for each in stack.endpoints()]
    is_on = said["GpuMode"] != "off"
    return {
        "stack": stack.name,
        "mode": said["GpuMode"],
        "model": said["GpuModelName"] if is_on else None,
        "version": said["GpuModelVersion"] if is_on else None,
        "instance_type": said["GpuInstanceType"] if is_on else None,
        "max_instances": int(said["GpuMaxInstances"]) if is_on else None,
        # The sweeper, or somebody, deleted what the stack believes to be there.
        "is_ended": is_on and not endpoints,
        "endpoints": endpoints,
    }


def status_text(data: dict[str, Any]) -> str:
    """Return the same for people."""
    if data["mode"] == "off" and not data["endpoints"]:
        return f"{data['stack']}: no model on SageMaker"
    if data["is_ended"]:
        return (
            f"{data['stack']}: {data['model']} was on SageMaker, and its lease is over; "
            "`hotplate gpu start` begins another"
        )
    lines = [
        f"{data['stack']}: {data['model']} {data['version']}, {data['mode']}, "
        f"up to {data['max_instances']} of {data['instance_type']}"
    ]
    for each in data["endpoints"]:
        budget = "no budget" if each["budget_usd"] is None else f"{each['budget_usd']:.2f} USD"
        left = "" if each["hours_left"] is None else f" ({each['hours_left']:.1f} h left)"
        lines.append(
            f"  {each['name']}  {each['status']}, {each['instances']} instances; until "
            f"{each['deadline'] or 'no deadline'}{left}; {each['spent_usd']:.2f} of {budget} spent"
        )
        if each["over"]:
            lines.append(f"    over: {each['over']}; the sweeper ends it within five minutes")
    return "\n".join(lines)


def change_data(change: Change, *, dry_run: bool) -> dict[str, Any]:
    """Return what a command does, or would."""
    return {
        "dry_run": dry_run,
        "parameters": change.parameters,
        "endpoints": [each.name for each in change.endpoints],
        "resets": change.resets,
    }


def change_text(change: Change, what: str, *, dry_run: bool) -> str:
    """Return the same for people; `what` is the verb: `start`, `extend`, `stop`."""
    if not (change.parameters or change.endpoints or change.resets):
        return "nothing runs on SageMaker"
    names = ", ".join(each.name for each in change.endpoints) or "the endpoint"
    done = {"start": "started", "extend": "extended", "stop": "ended"}[what]
    head = f"would {what} {names}" if dry_run else f"{done} {names}"
    return "\n".join([head, *(f"  {name}={value}" for name, value in sorted(change.parameters.items()))])


def _endpoint(endpoint: LeasedEndpoint, now: float) -> dict[str, Any]:
    deadline, budget = endpoint.deadline, endpoint.budget_usd
    return {
        "name": endpoint.name,
        "status": endpoint.status,
        "instances": endpoint.instances,
        "deadline": None if deadline is None else deadline_text(deadline),
        "hours_left": None if deadline is None else round(max(0.0, deadline - now) / 3600, 2),
        "budget_usd": None if math.isinf(budget) else budget,
        "spent_usd": round(endpoint.spent_usd(now), 4),
        "usd_per_hour": endpoint.usd_per_hour,
        "over": endpoint.why_over(now) or None,
    }
