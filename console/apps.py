"""The console app; its lists and deeds are known once the apps are loaded, to workers too."""

from importlib import import_module

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "console"

    def ready(self) -> None:
        import_module("console.urls")
