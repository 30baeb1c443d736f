"""The Inkbox dialect as one API, and what its clients find at each path."""

from api.auth import authenticate
from api.errors import InkboxAPI, answer_errors_of
from api.inkbox import contact_rules, conversations, identities, messages, reactions, router_number, whoami
from api.parsing import JsonParser, OrjsonRenderer

api = InkboxAPI(
    title="Cordboard, Inkbox dialect",
    version="1",
    urls_namespace="inkbox",
    auth=authenticate,
    parser=JsonParser(),
    renderer=OrjsonRenderer(),
    openapi_url=None,
    docs_url=None,
)
answer_errors_of(api)

api.add_router("", whoami.router)
api.add_router("/v1", identities.router)
for resource in (router_number, messages, conversations, reactions, contact_rules):
    api.add_router("/v1/imessage", resource.router)
