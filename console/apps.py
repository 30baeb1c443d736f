"""The console app; its receivers are connected once the apps are loaded."""

from importlib import import_module

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "console"

    def ready(self) -> None:
        import_module("console.sessions")
