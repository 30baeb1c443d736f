"""The AgentPhone dialect as one API, and what its clients find at each path."""

from django.http import HttpRequest

from accounts.models import ApiKey
from api.agentphone import agents, backgrounds, contact_cards, contacts, conversations, messages, numbers, webhooks
from api.agentphone.errors import BadRequest
from api.auth import Authorization
from api.errors import DialectAPI
from dialects import agentphone

ABOUT = """AgentPhone's clients work with their base URL changed. Every request carries `Authorization: Bearer`.

Formats of our own: `e164` is a possible telephone number like +15555550123, in any notation; `e164-list` several of
them; `web-url` an http or https URL; `endpoint-url` one that webhooks may be sent to; `reaction` one of the six words
or an emoji; `cursor` an ISO 8601 time or the id of a message.
"""


class BearerKey(Authorization):
    """The key, without a sub-account to narrow it to: a request for one must not reach all of the organization's."""

    def __call__(self, request: HttpRequest) -> ApiKey:
        key = super().__call__(request)
        if "X-Sub-Account-Id" in request.headers:
            raise BadRequest("There are no sub-accounts here; leave X-Sub-Account-Id out.")
        return key


api = DialectAPI(
    words=agentphone,
    title="Cordboard, AgentPhone dialect",
    about=ABOUT,
    namespace="agentphone",
    auth=BearerKey("Bearer"),
)

# A fixed path before the id that could stand in its place.
for resource in (messages, conversations, backgrounds, agents, numbers, contact_cards, contacts, webhooks):
    api.add_router("", resource.router)
