"""Django admin is for operators, and has no sign-in of its own."""

import pytest
from allauth.mfa.models import Authenticator
from django.contrib import admin as django_admin
from django.test import Client

from accounts.models import User
from tests import make


@pytest.mark.parametrize("path", ["/admin/", "/admin/imessage/message/", "/admin/login/"])
def test_a_stranger_is_sent_to_the_one_sign_in(db: None, path: str) -> None:
    response = Client().get(path, follow=True)
    assert response.redirect_chain[-1][0].startswith("/accounts/login/?next=/admin/")


def test_the_sign_in_leads_back(operator: User) -> None:
    client = Client()
    came_from = client.get("/admin/lines/line/", follow=True).redirect_chain[-1][0]
    response = client.post(came_from, {"login": operator.email, "password": make.PASSWORD})
    assert response["Location"] == "/admin/lines/line/"


def test_admin_itself_takes_no_password(operator: User) -> None:
    client = Client()
    response = client.post("/admin/login/", {"username": operator.email, "password": make.PASSWORD})
    assert response["Location"].startswith("/accounts/login/")
    assert "_auth_user_id" not in client.session


@pytest.mark.parametrize("path", ["/admin/", "/admin/imessage/message/", "/admin/login/"])
def test_an_organizations_admin_is_refused(alice: User, path: str) -> None:
    client = Client()
    client.force_login(alice)
    assert client.get(path, follow=True).status_code == 403


def test_staff_without_superuser_is_refused(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    client = Client()
    client.force_login(alice)
    assert client.get("/admin/", follow=True).status_code == 403


def test_the_strict_policy_holds(admin: Client) -> None:
    policy = admin.get("/admin/")["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


def test_the_second_factor_guards_admin_too(operator: User) -> None:
    Authenticator.objects.create(user=operator, type=Authenticator.Type.TOTP, data={"secret": "JBSWY3DPEHPK3PXP"})
    client = Client()
    response = client.post(
        "/accounts/login/?next=/admin/", {"login": operator.email, "password": make.PASSWORD, "next": "/admin/"}
    )
    assert response["Location"].startswith("/accounts/2fa/authenticate/")
    assert client.get("/admin/").status_code == 302


def test_the_second_factors_secret_is_on_no_page(admin: Client) -> None:
    assert Authenticator not in django_admin.site._registry
    assert admin.get("/admin/mfa/authenticator/").status_code == 404
