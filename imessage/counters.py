"""What a conversation's row keeps of its messages: where the next one goes, how many, how many unread, and the last."""

from imessage.models import Direction


def advance(*, direction: str, is_blocked: bool = False) -> str:
    """The statement that makes room for one more message at a conversation's end; it gives its `position`.

    It takes `conversation`, and the message's `id` and `now`, its time. Alone or among others of one transaction, which
    holds the conversation's lock. The counters are kept on two sides, what the agent may see and what is blocked
    (architecture.md, section 5). Since when the human waits is kept by the rule of `waiting`.
    """
    side = "blocked" if is_blocked else "visible"
    changes = {
        "next_position": "next_position + 1",
        f"{side}_total": f"{side}_total + 1",
        f"{side}_last_id": "%(id)s",
        f"{side}_last_at": "%(now)s",
        "last_at": "%(now)s",
        "updated_at": "%(now)s",
    }
    if direction == Direction.INBOUND:
        changes[f"{side}_unread"] = f"{side}_unread + 1"
    if direction == Direction.OUTBOUND:
        changes["waiting_since"] = "NULL"
    elif not is_blocked:
        changes["waiting_since"] = "coalesce(waiting_since, %(now)s)"
    set_to = ", ".join(f"{column} = {value}" for column, value in changes.items())
    return (
        f"UPDATE imessage_conversation SET {set_to} WHERE id = %(conversation)s"  # noqa: S608 - of constants
        " RETURNING next_position - 1 AS position"
    )
