"""Since when a human waits for an answer; kept in a column, so that lists can be ordered and narrowed by it.

The rule: a human waits since the oldest text that the agent may see and that no accepted message of the agent came
after. A message that is accepted counts as an answer even if it fails later: that is told as such. `counters` carries
it on with each message.
"""

from uuid import UUID

from django.db import connection

_RECOUNT = """
UPDATE imessage_conversation conversation SET waiting_since = (
    SELECT min(message.created_at) FROM imessage_message message
    WHERE message.conversation_id = conversation.id AND message.direction = 'inbound' AND NOT message.is_blocked
        AND message.position > coalesce((
            SELECT max(answer.position) FROM imessage_message answer
            WHERE answer.conversation_id = conversation.id AND answer.direction = 'outbound'
        ), 0)
)
WHERE conversation.id = ANY(%s)
"""


def recount(*conversation_ids: UUID) -> None:
    """Work the rule out from the messages: after an earlier one came into sight. The caller holds the locks."""
    with connection.cursor() as cursor:
        cursor.execute(_RECOUNT, [list(conversation_ids)])
