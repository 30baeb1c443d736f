"""An agent in forty lines: it says back what it hears, likes it, and reads it. Stop it with Ctrl-C.

    pip install inkbox
    INKBOX_BASE_URL=http://127.0.0.1:8000 INKBOX_API_KEY=ApiKey_... python examples/first_agent.py

The key is one bound to an identity: `manage.py create_api_key --organization demo --identity echo --label mine`.
"""

import os
import time

from inkbox import AgentIdentity, Inkbox
from inkbox.exceptions import InkboxAPIError
from inkbox.imessage.types import IMessageConversationSummary

BASE_URL = os.environ.get("INKBOX_BASE_URL", "http://127.0.0.1:8000")
WORDS_FOR_LOVE = {"thanks", "thank you", "love", "great"}


def answer(agent: AgentIdentity, conversation: IMessageConversationSummary) -> None:
    """Answer every unread message of one conversation, oldest first."""
    messages = agent.list_imessages(conversation_id=conversation.id, is_read=False)
    heard = [message for message in reversed(messages) if message.direction == "inbound"]
    agent.mark_imessage_conversation_read(conversation.id)
    for message in heard:
        agent.send_imessage_typing(conversation.id)
        loved = any(word in (message.content or "").lower() for word in WORDS_FOR_LOVE)
        agent.send_imessage_reaction(message_id=message.id, reaction="love" if loved else "like")
        agent.send_imessage(conversation_id=conversation.id, text=f"You said: {message.content or 'something nice'}")


def main() -> None:
    inkbox = Inkbox(api_key=os.environ["INKBOX_API_KEY"], base_url=BASE_URL)
    agent = inkbox.get_identity(inkbox.list_identities()[0].agent_handle)
    router = inkbox.imessages.get_triage_number()
    print(f"@{agent.agent_handle} listens. Text '{router.connect_command}' to {router.number}.", flush=True)
    while True:
        for conversation in agent.list_imessage_conversations():
            if conversation.unread_count and conversation.assignment_status == "active":
                try:
                    answer(agent, conversation)
                except InkboxAPIError as refused:  # blocked meanwhile, or the day's messages are used up
                    print(f"{conversation.remote_number}: {refused.status_code} {refused.detail}", flush=True)
        time.sleep(1)


if __name__ == "__main__":
    main()
