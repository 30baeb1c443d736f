"""The Inkbox dialect as one API, and what its clients find at each path."""

from api.auth import KeyHeader
from api.errors import DialectAPI
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
from dialects import inkbox

ABOUT = """Inkbox's clients work with their base URL changed. Every request carries `X-API-Key`.

Formats of our own: `e164` is a possible telephone number like +15555550123; `web-url` an http or https URL;
`endpoint-url` one that webhooks may be sent to; `moment` an ISO 8601 date or time in the years 1900 to 2999;
`time-zone` a name like Europe/Berlin.
"""

api = DialectAPI(words=inkbox, title="Cordboard, Inkbox dialect", about=ABOUT, namespace="inkbox", auth=KeyHeader())

api.add_router("", whoami.router)
for resource in (api_keys, identities, message_sends, signing_keys, subscriptions, deliveries):
    api.add_router("/v1", resource.router)
for resource in (router_number, messages, media, conversations, reactions, contact_rules, numbers):
    api.add_router("/v1/imessage", resource.router)
