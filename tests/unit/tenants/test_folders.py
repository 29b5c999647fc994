"""A tenant's folder, and the tenant of a folder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.gpu_proxy.results import OUTPUT_PREFIX
from hotplate.tenants.folders import folder_of, tenant_of


@given(st.text())
def test_folder_names_its_tenant(tenant: str) -> None:
    assert tenant_of(folder_of(tenant)) == tenant


@pytest.mark.parametrize("tenant", ["=endpoint", "endpoint", "\uee9dpoint", "=", "=e"])
def test_folder_of_the_endpoints_answers_is_no_tenants(tenant: str) -> None:
    assert f"results/{folder_of(tenant)}/" != OUTPUT_PREFIX
