"""Django admin for the installation's operators: superusers only, signed in through the same door as the console."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from core.admin import ReadOnlyAdmin


class OperatorsSite(admin.AdminSite):
    """Shows every table of ours and changes none."""

    site_title = site_header = "Cordboard"
    index_title = "What is stored"
    site_url = "/console/"

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Take read-only pages; those that other packages bring would change rows behind the operations' back."""
        if admin_class is not None and issubclass(admin_class, ReadOnlyAdmin):
            super().register(model_or_iterable, admin_class, **options)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is no second way in: allauth asks for the password and, where it is set up, the second factor."""
        if self.has_permission(request):
            return HttpResponseRedirect(reverse("admin:index", current_app=self.name))
        if request.user.is_authenticated:
            raise PermissionDenied("Django admin is for the operators of this installation.")
        return redirect_to_login(request.GET.get("next") or reverse("admin:index", current_app=self.name))
