from django.apps import AppConfig


class ContactRulesConfig(AppConfig):
    name = "contactrules"
