"""A year of talk: many conversations, a long one, blocked texts and their verdicts; pages must stay quick over it."""

import uuid
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.test import Client

from accounts.models import Identity, Membership, User
from bench.population import Population
from imessage.models import Conversation, Message

# Messages in each ordinary conversation, and how many more in the one that was never left.
EACH = 20
LONG = 20_000
# One text in so many is blocked; half of those were reviewed.
BLOCKED_ONE_IN = 40


class Archive:
    """Rows added to a population until there are `messages`; `admin` and `operator` are sessions' cookies."""

    def __init__(self, population: Population, *, messages: int) -> None:
        self.busy: Identity = population.agents[0][0]
        self.long: Conversation = population.agents[0][2]
        facts = {
            "line": population.line.id,
            "one": self.long.id,
            "long": LONG,
            "each": EACH,
            "humans": max(1, (messages - Message.objects.count() - LONG) // EACH),
            "blocked_one_in": BLOCKED_ONE_IN,
        }
        with connection.cursor() as cursor:
            cursor.execute(Path(__file__).with_suffix(".sql").read_text(), facts)
            cursor.execute("VACUUM (ANALYZE)")
        self.operator = _session(User.objects.create_superuser("operator@example.com", uuid.uuid4().hex))
        admin = User.objects.create_user("admin@example.com", uuid.uuid4().hex)
        Membership.objects.create(organization=self.busy.organization, user=admin, role="admin")
        self.admin = _session(admin)


def _session(user: User) -> str:
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
