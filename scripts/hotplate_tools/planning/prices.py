"""The price table: what a request costs, from `hotplate.prices`, and instances, from `prices.yaml`.

Money is USD. A plan always names the table's date and region, because the figures age.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field

from hotplate import prices

__all__ = ["Instance", "Prices", "read_prices"]

Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LambdaPrices(_Table):
    """USD per GB-second by architecture, and per million requests."""

    gb_second: dict[str, Money]
    million_requests: Money


class GatewayPrices(_Table):
    """USD per million requests of a REST API."""

    rest_million_requests: Money


class Instance(_Table):
    """One SageMaker instance: USD an hour, memory in MB, vCPUs, and whether it has a GPU."""

    instance: str
    hour: Money
    memory_mb: int
    vcpus: int
    gpu: bool = False


class Prices(_Table):
    """All of it, with where and when it was read."""

    date: date
    region: str
    source: str
    lambda_: Annotated[LambdaPrices, Field(alias="lambda")]
    api_gateway: GatewayPrices
    sagemaker: Annotated[tuple[Instance, ...], Field(min_length=1)]


@cache
def read_prices() -> Prices:
    """Return the price table of this hotplate."""
    table = yaml.safe_load((Path(__file__).with_name("prices.yaml")).read_text(encoding="utf-8"))
    table["date"], table["region"] = prices.PRICES_DATE, prices.PRICES_REGION
    table["lambda"] = {
        "gb_second": prices.LAMBDA_GB_SECOND,
        "million_requests": prices.LAMBDA_MILLION_REQUESTS,
    }
    table["api_gateway"] = {"rest_million_requests": prices.REST_API_MILLION_REQUESTS}
    return Prices.model_validate(table)
