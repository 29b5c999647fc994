"""A folder has one tenant, and a tenant one folder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.gpu_proxy.results import OUTPUT_PREFIX
from hotplate.tenants.folders import folder_of, tenant_of


@given(st.text())
def test_tenant_of_a_folder_is_whose_it_is(tenant: str) -> None:
    folder = folder_of(tenant)
    assert tenant_of(folder) == (tenant or None)


@pytest.mark.parametrize("folder", ["", "a b", "a=3a", "=41", "=FF", "..", "ü", "a/b", "a="])
def test_folder_that_nobody_has_is_nobodys(folder: str) -> None:
    assert tenant_of(folder) is None


@pytest.mark.parametrize("tenant", ["=endpoint", "endpoint", "\uee9dpoint", "=", "=e"])
def test_folder_of_the_endpoints_answers_is_no_tenants(tenant: str) -> None:
    assert f"results/{folder_of(tenant)}/" != OUTPUT_PREFIX
