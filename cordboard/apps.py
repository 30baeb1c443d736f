"""The project itself, and Django admin with our site in the place of its own."""

from django.apps import AppConfig
from django.contrib.admin import apps as django_admin


class CordboardConfig(AppConfig):
    name = "cordboard"
    default = True


class AdminConfig(django_admin.AdminConfig):
    default = False
    default_site = "cordboard.admin_site.OperatorsSite"
