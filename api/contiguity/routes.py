"""The Contiguity dialect as one API, and what its two clients find at each path."""

from api.auth import Authorization
from api.contiguity import availability, chats, conversations, envelopes, numbers, sends
from api.errors import DialectAPI

ABOUT = """Contiguity's clients work with their origin changed. Every request carries `Authorization: Token`.

The paths here are those of the published API; the older ones of the Python client answer too.
`e164` is a possible telephone number like +15555550123; `web-url` an http or https URL.
"""

api = DialectAPI(
    words=envelopes,
    title="Cordboard, Contiguity dialect",
    about=ABOUT,
    namespace="contiguity",
    auth=Authorization("Token", "Bearer"),
)

for resource in (sends, chats, conversations, availability, numbers):
    api.add_router("", resource.router)
