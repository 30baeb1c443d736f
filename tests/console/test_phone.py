"""The phone page: there for operators of a development installation alone. The browser tests use it for real."""

from typing import Any

import pytest
from django.test import Client

PHONE = "/console/phone/"


@pytest.fixture
def _development(settings: Any) -> None:
    settings.DEVELOPMENT, settings.SIMULATOR_URL = True, "http://127.0.0.1:9"


@pytest.mark.parametrize("address", [PHONE, f"{PHONE}+15555550141/", f"{PHONE}+15555550141/screen/"])
def test_in_production_there_is_no_phone(as_operator: Client, settings: Any, address: str) -> None:
    settings.DEVELOPMENT = False
    assert as_operator.get(address).status_code == 404


@pytest.mark.usefixtures("_development")
def test_an_organizations_admin_has_no_phone(as_alice: Client) -> None:
    assert as_alice.get(PHONE).status_code == 404


@pytest.mark.usefixtures("_development")
def test_a_network_that_is_away_is_said_so(as_operator: Client) -> None:
    answer = as_operator.get(PHONE)
    assert (answer.status_code, b"does not answer" in answer.content) == (503, True)


@pytest.mark.usefixtures("_development")
def test_a_number_that_is_none_is_refused_in_words(as_operator: Client) -> None:
    page = as_operator.get(f"{PHONE}?number=12", follow=True).content.decode()
    assert "E.164" in page or "does not answer" in page
