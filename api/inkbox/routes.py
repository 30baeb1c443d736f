"""The Inkbox dialect as one API, and what its clients find at each path."""

from api.auth import KeyHeader
from api.errors import InkboxAPI, answer_errors_of
from api.inkbox import (
    api_keys,
    contact_rules,
    conversations,
    deliveries,
    identities,
    media,
    message_sends,
    messages,
    numbers,
    reactions,
    router_number,
    signing_keys,
    subscriptions,
    whoami,
)
from api.parsing import JsonParser, OrjsonRenderer

api = InkboxAPI(
    title="Cordboard, Inkbox dialect",
    version="1",
    urls_namespace="inkbox",
    auth=KeyHeader(),
    parser=JsonParser(),
    renderer=OrjsonRenderer(),
    openapi_url=None,
    docs_url=None,
)
answer_errors_of(api)

api.add_router("", whoami.router)
for resource in (api_keys, identities, message_sends, signing_keys, subscriptions, deliveries):
    api.add_router("/v1", resource.router)
for resource in (router_number, messages, media, conversations, reactions, contact_rules, numbers):
    api.add_router("/v1/imessage", resource.router)
