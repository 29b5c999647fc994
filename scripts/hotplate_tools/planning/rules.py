"""The plan of a model: each value with its reason, each refused tier with its figures.

Pure: a description, a price table and a traffic in, a `Proposal` out. What the owner fixed in
`model.yaml` is kept, and refused only where it cannot work. The rules, in the order applied:

1. Figures: measured, else estimated from size (`estimates`).
2. Memory: one vCPU (1,769 MB), because CPU comes with memory and less of both costs the same for
   longer; two vCPUs above `SLOW_MS` a row, four above `VERY_SLOW_MS`; never less than the model needs.
3. Tier: the first of `tiers.TIERS` with nothing against it.
4. Threads: one for a model that runs in under `QUICK_MS`, else one per vCPU.
5. Batch: the largest measured size whose throughput is `WORTH` times that of the size before it and
   which still answers within `PATIENCE_MS`; unmeasured, `SMALL_BATCH` for a quick model, else one.
6. Init: while it fits in Lambda's ten seconds with a fifth to spare it loads in the init phase; later
   in the first invocation; where that would outlast the gateway, from a snapshot or kept warm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate.limits import MAX_BODY_BYTES, MAX_MEMORY_MB, MAX_UNZIPPED_BYTES, MAX_VCPUS, MEMORY_MB_PER_VCPU
from hotplate_tools.failures import RefusedError
from hotplate_tools.planning.estimates import Figures, figures_of
from hotplate_tools.planning.money import Money, instance_money, lambda_money
from hotplate_tools.planning.tiers import MAX_GATEWAY_S, TIERS, Need, instance_for, obstacles
from hotplate_tools.planning.weights import Chosen, choose_form, choose_prepacking, megabytes

if TYPE_CHECKING:
    from hotplate.manifest.schema import Tier
    from hotplate_tools.planning.prices import Prices
    from hotplate_tools.planning.records import Description

__all__ = ["Proposal", "propose"]

QUICK_MS = 3.0
SLOW_MS = 100.0
VERY_SLOW_MS = 1000.0
WORTH = 1.3
PATIENCE_MS = 1000.0
SMALL_BATCH = 32
INIT_S = 10.0
SPARE = 0.8
OWNER = "fixed in model.yaml"
# Measured by `hotplate bench memory`: MiB held after some runs with and without, 195 to 213 and 257 for a
# ResNet-50, 917 to 920 for an encoder.
ARENA = "without it networks were measured to hold more memory, not less"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan.

    Attributes:
        model, figures: What it was made from.
        traffic: Requests a minute, or None.
        tier, memory_mb, threads, batch_size, weight_form, prepacking, arena, init_mode: Values with reasons.
        refused: Every other tier and why not.
        request_ms: One row in the function at this memory.
        money: What it costs.
    """

    model: Description
    figures: Figures
    traffic: float | None
    tier: Chosen[str]
    memory_mb: Chosen[int]
    threads: Chosen[int]
    batch_size: Chosen[int]
    weight_form: Chosen[str]
    prepacking: Chosen[str]
    arena: Chosen[str]
    init_mode: Chosen[str]
    refused: dict[Tier, tuple[str, ...]]
    request_ms: float
    money: Money


def propose(
    model: Description, prices: Prices, *, traffic: float | None = None, architecture: str = "x86_64"
) -> Proposal:
    """Return the plan of `model`.

    Args:
        model: What is to run.
        prices: The price table.
        traffic: Requests a minute of one row each.
        architecture: `x86_64` or `arm64`; only the price differs.

    Raises:
        RefusedError: No tier holds the model, or not the one its owner fixed, or not in that memory.
    """
    figures = figures_of(model)
    fastest_ms = figures.request_ms(MAX_MEMORY_MB)
    busy = None if traffic is None else traffic * fastest_ms / 60_000
    need = Need(
        model.code_bytes,
        figures.need_mb,
        fastest_ms / 1000,
        model.request_bytes,
        model.response_bytes,
        busy,
    )
    against = obstacles(need, prices)
    tier = _tier(model, against)
    memory = _memory(model, figures, tier)
    request_ms = figures.request_ms(memory.value if tier.value.startswith("lambda") else MAX_MEMORY_MB)
    return Proposal(
        model=model,
        figures=figures,
        traffic=traffic,
        tier=tier,
        memory_mb=memory,
        threads=_threads(model, figures, tier.value, memory.value, prices),
        batch_size=_batch(model, figures),
        weight_form=_form(model),
        prepacking=_prepacking(model),
        arena=Chosen(model.plan.arena, ARENA if model.plan.arena == "on" else OWNER),
        init_mode=_init(model, figures, tier.value),
        refused=_refused(tier.value, against, prices, figures.need_mb),
        request_ms=request_ms,
        money=_money(tier.value, prices, figures, memory.value, request_ms, traffic, architecture),
    )


def _tier(model: Description, against: dict[Tier, tuple[str, ...]]) -> Chosen[str]:
    if model.plan.tier:
        if reasons := against[model.plan.tier]:
            raise RefusedError(f"model.yaml fixes {model.plan.tier}, but {'; '.join(reasons)}")
        return Chosen(model.plan.tier, OWNER)
    for tier in TIERS:
        if not against[tier]:
            return Chosen(tier, "the first that fits")
    every = "\n".join(f"  {tier}: {'; '.join(reasons)}" for tier, reasons in against.items())
    raise RefusedError(f"no tier holds {model.name}:\n{every}")


def _memory(model: Description, figures: Figures, tier: Chosen[str]) -> Chosen[int]:
    peak = f"{'measured' if figures.is_measured else 'estimated'} peak {figures.peak_mb:,.0f} MB"
    least = figures.need_mb
    if model.plan.memory_mb is not None:
        if tier.value.startswith("lambda") and model.plan.memory_mb < least:
            raise RefusedError(f"model.yaml fixes {model.plan.memory_mb:,} MB, but {peak} needs {least:,} MB")
        return Chosen(model.plan.memory_mb, f"{OWNER}; {peak}")
    if not tier.value.startswith("lambda"):
        return Chosen(least, f"{peak}, a fifth more, and the handler")
    vcpus = 4 if figures.run_ms > VERY_SLOW_MS else 2 if figures.run_ms > SLOW_MS else 1
    wanted = vcpus * MEMORY_MB_PER_VCPU
    if wanted >= least:
        return Chosen(wanted, f"{vcpus} vCPU for {figures.run_ms:,.1f} ms a row; {peak} needs {least:,} MB")
    return Chosen(least, f"{peak}, a fifth more, and the handler")


def _threads(model: Description, figures: Figures, tier: str, memory_mb: int, prices: Prices) -> Chosen[int]:
    if model.plan.intra_op_threads is not None:
        return Chosen(model.plan.intra_op_threads, OWNER)
    if figures.run_ms < QUICK_MS:
        return Chosen(1, f"{figures.run_ms:,.2f} ms a row is too short to share")
    instance = None if tier.startswith("lambda") else instance_for(figures.need_mb, prices)
    if instance:
        return Chosen(instance.vcpus, f"one per vCPU of {instance.instance}")
    vcpus = round(memory_mb / MEMORY_MB_PER_VCPU)
    return Chosen(max(1, min(MAX_VCPUS, vcpus)), "one per vCPU of that memory")


def _batch(model: Description, figures: Figures) -> Chosen[int]:
    if model.plan.batch_size is not None:
        return Chosen(model.plan.batch_size, OWNER)
    if not model.has_batch:
        return Chosen(1, "the first dimension of its inputs is fixed")
    largest = max(model.request_bytes or 0, model.response_bytes or 0, 1)
    served = model.measurements.served if model.measurements else None
    if not served or not served.batches:
        if figures.run_ms >= QUICK_MS:
            return Chosen(1, f"at {figures.run_ms:,.1f} ms a row computing is all there is to do")
        size = max(1, min(SMALL_BATCH, MAX_BODY_BYTES // largest))
        return Chosen(size, "what a call costs outweighs the run; not measured")
    best = served.batches[0]
    for point in served.batches[1:]:
        gain = (point.batch / point.run_ms) / (best.batch / best.run_ms)
        if gain < WORTH or point.run_ms > PATIENCE_MS or point.batch * largest > MAX_BODY_BYTES:
            return Chosen(
                best.batch,
                f"{point.batch} rows at once give {gain:.2f} times the rows a second of {best.batch}",
            )
        best = point
    first = served.batches[0]
    gain = (best.batch / best.run_ms) / (first.batch / first.run_ms)
    return Chosen(best.batch, f"{gain:.1f} times the rows a second of {first.batch}")


def _form(model: Description) -> Chosen[str]:
    form = model.plan.weight_form
    rule = choose_form(model.model_bytes)
    inside = model.code_bytes + model.model_bytes
    apart = f"; from S3, as {megabytes(inside)} with the code would be over {megabytes(MAX_UNZIPPED_BYTES)}"
    if form == rule.value:
        extra = f"; files for {model.plan.isa} too" if model.plan.isa else ""
        return Chosen(form, rule.reason + extra + (apart if inside > MAX_UNZIPPED_BYTES else ""))
    if form == "source" and model.variant and model.variant.kind == "fp16":
        return Chosen(form, "half-size weights are made whole while loading; optimised, they would be before")
    if form == "source":
        return Chosen(form, "kept as given: nothing showed that an optimised graph answers the same")
    return Chosen(form, OWNER)


def _prepacking(model: Description) -> Chosen[str]:
    rule = choose_prepacking(model.operators, model.model_bytes)
    used = model.plan.prepacking
    if used == rule.value or used != "off":
        return Chosen(used, rule.reason if used == rule.value else "as ONNX Runtime does by itself")
    return Chosen(used, OWNER)


def _init(model: Description, figures: Figures, tier: str) -> Chosen[str]:
    if model.plan.init_mode:
        return Chosen(model.plan.init_mode, OWNER)
    took = f"a cold start takes about {figures.init_s:,.1f} s"
    if not tier.startswith("lambda"):
        return Chosen("init", f"{took}, before the instance takes requests")
    if figures.init_s <= INIT_S * SPARE:
        return Chosen("init", f"{took}, of {INIT_S:,.0f} s that Lambda gives")
    if figures.init_s <= MAX_GATEWAY_S * SPARE:
        return Chosen("first-invoke", f"{took}, too near the {INIT_S:,.0f} s of the init phase")
    word = "snap-start" if tier == "lambda-zip" else "provisioned"
    return Chosen(word, f"{took}, longer than API Gateway waits for a first answer")


def _refused(
    chosen: str, against: dict[Tier, tuple[str, ...]], prices: Prices, memory_mb: int
) -> dict[Tier, tuple[str, ...]]:
    instance = instance_for(memory_mb, prices)
    idle = f"; {instance.instance} costs {instance.hour * 730:,.2f} USD a month idle" if instance else ""
    spare: dict[Tier, str] = {
        "lambda-zip": f"it fits, but model.yaml fixes {chosen}",
        "lambda-image": f"not needed: {chosen} fits, and images have no SnapStart",
        "sagemaker-async": f"not needed: {chosen} fits; from zero it wakes in minutes",
        "sagemaker-realtime": f"not needed: {chosen} fits{idle}",
    }
    return {tier: against[tier] or (spare[tier],) for tier in TIERS if tier != chosen}


def _money(
    tier: str,
    prices: Prices,
    figures: Figures,
    memory_mb: int,
    request_ms: float,
    traffic: float | None,
    architecture: str,
) -> Money:
    if tier.startswith("lambda"):
        return lambda_money(
            prices,
            memory_mb=memory_mb,
            request_ms=request_ms,
            init_s=figures.init_s,
            rpm=traffic,
            architecture=architecture,
        )
    instance = instance_for(figures.need_mb, prices)
    if instance is None:  # `obstacles` refused every instance already, so no tier was chosen
        raise RefusedError(f"no instance in the price table has {figures.need_mb:,} MB")
    return instance_money(instance, request_ms=request_ms, rpm=traffic, sleeps=tier == "sagemaker-async")
