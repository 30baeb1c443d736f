"""A page's socket for tests: Channels' own communicator cannot be imported without Daphne."""

import json
from typing import Any

from asgiref.testing import ApplicationCommunicator


class PageSocket(ApplicationCommunicator):
    """Speaks ASGI to an application as a browser's socket does."""

    def __init__(self, application: Any, path: str, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        scope = {
            "type": "websocket",
            "path": path,
            "query_string": b"",
            "headers": headers or [],
            "subprotocols": [],
        }
        super().__init__(application, scope)

    async def connect(self) -> bool:
        await self.send_input({"type": "websocket.connect"})
        return (await self.receive_output(5))["type"] == "websocket.accept"

    async def send_to(self, *, text_data: str) -> None:
        await self.send_input({"type": "websocket.receive", "text": text_data})

    async def send_json_to(self, message: dict[str, Any]) -> None:
        await self.send_to(text_data=json.dumps(message))

    async def receive_json_from(self, within: float = 5) -> dict[str, Any]:
        output = await self.receive_output(within)
        assert output["type"] == "websocket.send", output
        return json.loads(output["text"])

    async def disconnect(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(2)
