"""Who talks with whom in a measurement: 20 tenants, 64 agents with a key each, 64 conversations full of messages."""

from django.db import connection

from accounts import keys
from accounts.models import Identity, Organization
from core import secrets
from core.actor import Actor
from imessage.models import Connection, Conversation
from lines.models import Line, ProviderAccount, Route

TENANTS = 20
AGENTS = 64
CALLBACK_SECRET = "whsec_" + "YmVuY2htYXJrcyBvbmx5LCBuZXZlciBhIHNlY3JldA=="
_OPERATOR = Actor.system("bench")


class Population:
    """The rows; `agents` are (identity, key, conversation)."""

    def __init__(self, *, messages_each: int = 156) -> None:
        self.account = ProviderAccount.objects.create(
            provider="simulated",
            name="bench",
            base_url="http://127.0.0.1:9",
            sealed_token=secrets.seal("token"),
            sealed_callback_secret=secrets.seal(CALLBACK_SECRET),
        )
        self.line = Line.objects.create(
            account=self.account, address="+15555550101", kind="pool", wanted="in_service", seen="healthy"
        )
        tenants = [Organization.objects.create(name=f"Tenant {number}") for number in range(TENANTS)]
        self.agents = [self._agent(tenants[number % TENANTS], number) for number in range(AGENTS)]
        self._fill(messages_each)

    def age(self) -> None:
        """Let a day pass for the cap, between two measurements, and forget the jobs nobody does."""
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE imessage_message SET created_at = created_at - interval '25 hours'"
                " WHERE direction = 'outbound' AND created_at > now() - interval '24 hours'"
            )
            cursor.execute("DELETE FROM procrastinate_jobs")
            # What an earlier row left undone would be taken up by the worker of a later one.
            cursor.execute("UPDATE lines_callback SET state = 'applied' WHERE state = 'stored'")
            cursor.execute("UPDATE imessage_message SET status = 'delivered' WHERE status = 'queued'")
            cursor.execute("VACUUM (ANALYZE) imessage_message, imessage_conversation, procrastinate_jobs")

    def _agent(self, tenant: Organization, number: int) -> tuple[Identity, str, Conversation]:
        identity = Identity.objects.create(
            organization=tenant, handle=f"agent-{number}", display_name=f"Agent {number}", imessage_enabled=True
        )
        _, key = keys.create_key(_OPERATOR, organization=tenant, identity=identity, label="bench")
        human = f"+1555555{2000 + number}"
        Route.objects.create(line=self.line, line_kind="pool", human=human, identity=identity)
        tie = Connection.objects.create(organization=tenant, identity=identity, line=self.line, human=human)
        conversation = Conversation.objects.create(
            organization=tenant, identity=identity, connection=tie, human=human, thread_key=human
        )
        return identity, key, conversation

    def _fill(self, each: int) -> None:
        """Messages of both sides, every tenth with a photo, every fifth with a tapback."""
        with connection.cursor() as cursor:
            cursor.execute(_MESSAGES, [self.line.id, each])
            cursor.execute(_TEXTS)
            cursor.execute(_PHOTOS)
            cursor.execute(_TAPBACKS)
            cursor.execute(_COUNTERS)
            cursor.execute("VACUUM (ANALYZE)")


_MESSAGES = """
INSERT INTO imessage_message (id, organization_id, identity_id, conversation_id, connection_id, line_id, human,
    direction, position, text, message_type, service, send_style, status, error_code, error_reason, error_message,
    error_detail, is_read, is_blocked, rule_revision, filter_mode, provider_handle, is_late, created_at, updated_at)
SELECT uuidv7(), c.organization_id, c.identity_id, c.id, c.connection_id, %s, c.human,
    CASE WHEN n %% 2 = 0 THEN 'outbound' ELSE 'inbound' END, n, 'Message number ' || n || ', of ordinary length.',
    'message', 'imessage', '', CASE WHEN n %% 2 = 0 THEN 'delivered' ELSE 'received' END, '', '', '', '', true, false,
    0, 'blacklist', '', false, now() - interval '3 days' + n * interval '1 minute', now()
FROM imessage_conversation c, generate_series(1, %s) n ORDER BY n
"""
_TEXTS = """
INSERT INTO imessage_part (id, message_id, index, kind, text, url, content_type)
SELECT uuidv7(), id, 0, 'text', text, '', '' FROM imessage_message
"""
_PHOTOS = """
INSERT INTO imessage_part (id, message_id, index, kind, text, url, content_type, size)
SELECT uuidv7(), id, 1, 'media', '', 'https://files.example.com/' || id || '.jpg', 'image/jpeg', 123456
FROM imessage_message WHERE position %% 10 = 0
"""
_TAPBACKS = """
INSERT INTO imessage_tapback (id, organization_id, message_id, connection_id, part_index, direction, kind, emoji, human,
    created_at, updated_at)
SELECT uuidv7(), organization_id, id, connection_id, 0, 'inbound', 'like', '', human, created_at, created_at
FROM imessage_message WHERE position %% 5 = 0
"""
_COUNTERS = """
UPDATE imessage_conversation c SET next_position = m.total + 1, visible_total = m.total, visible_last_id = m.last,
    visible_last_at = m.last_at, last_at = m.last_at
FROM (SELECT conversation_id, count(*) AS total, (array_agg(id ORDER BY position DESC))[1] AS last,
      max(created_at) AS last_at FROM imessage_message GROUP BY 1) m WHERE m.conversation_id = c.id
"""
_PHOTOS, _TAPBACKS = _PHOTOS.replace("%%", "%"), _TAPBACKS.replace("%%", "%")
