"""The AgentPhone dialect as one API, and what its clients find at each path."""

from api.agentphone import agents
from api.auth import Authorization
from api.errors import DialectAPI
from dialects import agentphone

ABOUT = """AgentPhone's clients work with their base URL changed. Every request carries `Authorization: Bearer`.

Formats of our own: `e164` is a possible telephone number like +15555550123; `web-url` an http or https URL.
"""

api = DialectAPI(
    words=agentphone,
    title="Cordboard, AgentPhone dialect",
    about=ABOUT,
    namespace="agentphone",
    auth=Authorization("Bearer"),
)

for resource in (agents,):
    api.add_router("", resource.router)
