from django.apps import AppConfig


class IMessageConfig(AppConfig):
    name = "imessage"
