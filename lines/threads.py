"""What a provider calls a thread on a phone: a hint that goes with the pair of line and human."""

from lines.models import Line, ProviderAccount, Route


def chat_of(line: Line, human: str) -> str:
    """The provider's name of this thread, if it ever told."""
    return Route.objects.filter(line=line, human=human).values_list("chat", flat=True).first() or ""


def note_chat(line: Line, human: str, chat: str) -> None:
    """Keep the provider's name of the pair's thread, if there is such a pair."""
    Route.objects.filter(line=line, human=human).exclude(chat=chat).update(chat=chat[:200])


def line_of_thread(account: ProviderAccount, *, human: str, chat: str) -> Line | None:
    """The line of a thread that the provider names by its chat or its human alone; None unless it is one line."""
    live = Route.objects.live().filter(line__account=account).select_related("line__account")
    for named in ({"chat": chat}, {"human": human}):
        routes = list(live.filter(**named)[:2]) if all(named.values()) else []
        if len(routes) == 1:
            return routes[0].line
    return None
