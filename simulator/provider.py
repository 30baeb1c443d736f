"""The provider's API: what a driver of ours calls to send on lines and to ask about them."""

import asyncio
from typing import Any

from aiohttp import web

from simulator.callbacks import Callbacks
from simulator.clock import moment, stamp
from simulator.handsets import OFF, Text
from simulator.network import Network
from simulator.orders import Order
from simulator.parsing import Fields, body_of, e164, number_in_path, query_of, web_url
from simulator.refusals import Refusal, invalid
from simulator.shelf import Shelf

SERVICES_ASKED = ("imessage", "auto", "sms")


class ProviderApi:
    """One method per endpoint: parse, one deed, present."""

    def __init__(self, network: Network, callbacks: Callbacks, shelf: Shelf) -> None:
        self._network = network
        self._memory = network.memory
        self._callbacks = callbacks
        self._shelf = shelf

    def routes(self) -> list[web.RouteDef]:
        """Every endpoint under /v1."""
        return [
            web.post("/v1/messages", self.send),
            web.get("/v1/messages", self.messages),
            web.get("/v1/messages/{id}", self.message),
            web.post("/v1/messages/{id}/tapbacks", self.tapback),
            web.post("/v1/media", self.add_file),
            web.get("/v1/media/{id}", self.file),
            web.post("/v1/threads/typing", self.typing),
            web.post("/v1/threads/read", self.read),
            web.put("/v1/threads/background", self.set_background),
            web.get("/v1/groups/{key}", self.group),
            web.put("/v1/groups/{key}", self.rename_group),
            web.get("/v1/lines", self.lines),
            web.get("/v1/lines/{number}", self.line),
            web.get("/v1/lookup", self.lookup),
            web.put("/v1/callback", self.set_callback),
            web.get("/v1/callback", self.callback),
            web.get("/v1/events", self.events),
        ]

    async def send(self, request: web.Request) -> web.Response:
        """Send a text: 202, or 200 for a repeated send key. The line's faults strike here."""
        order = await _order(request)
        self._memory.line(order.line)
        if await self._abandoned(request, order.line):
            return _gone(request)
        if not self._network.has_key(order) and self._network.strikes(order.line, "refuse"):
            raise _asked_for(self._memory.line(order.line).faults.value("refuse"))
        text, is_new = self._network.send(order)
        if not is_new:
            return web.json_response(text.answer)
        self._shelf.fetch(text)
        return await self._answer_sent(request, text)

    async def _abandoned(self, request: web.Request, line: str) -> bool:
        """Hold the call if that fault strikes; whether its caller left meanwhile and the text is to be dropped."""
        if not self._network.strikes(line, "hold_before"):
            return False
        hold = self._memory.line(line).faults.value("hold_before")
        await asyncio.sleep(hold["seconds"])
        return bool(hold["abandon"] and _caller_left(request))

    async def _answer_sent(self, request: web.Request, text: Text) -> web.Response:
        lost = self._network.strikes(text.line, "lost_answer")
        broken = self._network.strikes(text.line, "error_after")
        held = self._network.strikes(text.line, "hold_after")
        hold = self._memory.line(text.line).faults.value("hold_after")
        await self._network.journal.settle()
        if held:
            await asyncio.sleep(hold["seconds"])
        if lost:
            return _gone(request)
        if broken:
            raise Refusal(500, "internal", "Something went wrong.")
        return web.json_response(self._network.answer(text), status=202)

    async def messages(self, request: web.Request) -> web.Response:
        """Texts, newest first, for a driver that has to find out what became of a send."""
        query = query_of(request)
        since = query.word_or_none("since")
        texts = self._memory.newest(
            line=query.number_or_none("line"),
            far_end=query.thread_or_none("human"),
            since=None if since is None else moment(since),
            direction=query.choice_or_none("direction", ("outbound", "inbound")),
            limit=query.limit(),
        )
        return web.json_response({"messages": [text.as_message() for text in texts]})

    async def message(self, request: web.Request) -> web.Response:
        """One text, either direction."""
        return web.json_response(self._memory.text(request.match_info["id"]).as_message())

    async def tapback(self, request: web.Request) -> web.Response:
        """Add, replace or remove the line's tapback."""
        body = await body_of(request)
        remove = body.choice("action", ("add", "remove")) == "remove"
        text = self._network.tap_from_line(request.match_info["id"], body.tapback(), remove=remove)
        return web.json_response({"message_id": text.id, "tapbacks": list(text.tapbacks.values())})

    async def file(self, request: web.Request) -> web.FileResponse:
        """A file that a human sent."""
        file_id = request.match_info["id"]
        if any(self._network.strikes(line, "media_error") for line in list(self._memory.lines)):
            raise Refusal(503, "media_unavailable", "The file cannot be had just now.")
        path = self._shelf.path(file_id)
        return web.FileResponse(path, headers={"Content-Type": self._memory.files[file_id]["content_type"]})

    async def add_file(self, request: web.Request) -> web.Response:
        """Take a file from the agent's side, to be put behind a thread."""
        file = await self._shelf.put(request.content.iter_any(), content_type=request.content_type)
        return web.json_response(file, status=201)

    async def typing(self, request: web.Request) -> web.Response:
        """Show or hide the line's typing bubble."""
        body = await body_of(request)
        line, human, group, on = body.number("line"), *_far_end(body), body.flag("on")
        self._network.type_from_line(line, human, on=on, group=group)
        return web.json_response({"line": line, "human": human, "group": group, "on": on})

    async def read(self, request: web.Request) -> web.Response:
        """Send a read receipt for all that came in a thread."""
        body = await body_of(request)
        line, human, group = body.number("line"), *_far_end(body)
        up_to = self._network.read_from_line(line, human, group=group)
        return web.json_response({"line": line, "human": human, "group": group, "up_to_message_id": up_to})

    async def set_background(self, request: web.Request) -> web.Response:
        """Put a file behind a thread on a handset, or take it away."""
        body = await body_of(request)
        line, human, media = body.number("line"), body.number("human"), body.word_or_none("media")
        background = self._network.set_background(line, human, file=media)
        return web.json_response({"line": line, "human": human, "background": background})

    async def group(self, request: web.Request) -> web.Response:
        """One group, with its members."""
        return web.json_response(self._memory.group(request.match_info["key"]).as_json())

    async def rename_group(self, request: web.Request) -> web.Response:
        """Name a group anew."""
        body = await body_of(request)
        name = body.group_name_or_none("name") or ""
        group = self._network.groups.rename_from_line(body.number("line"), request.match_info["key"], name=name)
        return web.json_response(group.as_json())

    async def lines(self, request: web.Request) -> web.Response:
        """Every line of the provider."""
        return web.json_response({"lines": [line.as_json() for line in self._memory.lines.values()]})

    async def line(self, request: web.Request) -> web.Response:
        """The probe: one line's state and the network's clock."""
        line = self._memory.line(number_in_path(request))
        return web.json_response({**line.as_json(), "clock": stamp(ahead=line.faults.value("clock_offset"))})

    async def lookup(self, request: web.Request) -> web.Response:
        """Which service reaches a number. A phone that is off is still known to be on iMessage."""
        number = e164(query_of(request).number_or_none("number"), name="number")
        service = self._memory.handset(number).service
        return web.json_response({"number": number, "service": "imessage" if service == OFF else service})

    async def set_callback(self, request: web.Request) -> web.Response:
        """Name the one receiver of callbacks. Also a sign of life: what waits is posted at once."""
        body = await body_of(request)
        self._network.register_callback(url=web_url(body.values.get("url"), name="url"), secret=body.callback_secret())
        await self._network.journal.settle()
        self._callbacks.target_registered()
        return await self.callback(request)

    async def callback(self, request: web.Request) -> web.Response:
        """The registered receiver, never its secret."""
        target = self._memory.callback
        if target is None:
            raise Refusal(404, "no_callback", "No callback is registered.")
        return web.json_response({"url": target["url"], "registered_at": target["registered_at"]})

    async def events(self, request: web.Request) -> web.Response:
        """What was or will be told by callback, oldest first, so that lost ones can be fetched."""
        query = query_of(request)
        after = query.after()
        events = self._memory.events[after : after + query.limit()]
        return web.json_response({"events": events, "next": events[-1]["cursor"] if events else after})


async def _order(request: web.Request) -> Order:
    body = await body_of(request)
    media, group = body.media(), body.group_or_none()
    order = Order(
        line=body.number("from"),
        human="" if group else body.number("to"),
        group=group,
        text=body.text("text", media=media),
        media=media,
        service=body.choice("service", SERVICES_ASKED, default="imessage"),
        effect=body.word_or_none("effect"),
        reply_to=body.reply_target(),
        key=body.word_or_none("idempotency_key"),
        reference=body.word_or_none("status_reference"),
    )
    if order.line == order.human:
        raise invalid("A line cannot text itself.")
    return order


def _far_end(body: Fields) -> tuple[str, str | None]:
    """The human of a thread, or a group's key and no human."""
    group = body.word_or_none("group")
    return ("", group) if group else (body.number("human"), None)


def _asked_for(refusal: dict[str, Any]) -> Refusal:
    return Refusal(refusal["status"], refusal["code"], refusal["message"], retry_after=refusal["retry_after"])


def _caller_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _gone(request: web.Request) -> web.Response:
    """Close the connection without a word; the answer returned here reaches nobody."""
    if request.transport is not None:
        request.transport.close()
    return web.Response(status=500)
