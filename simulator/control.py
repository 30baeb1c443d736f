"""The control API: being the humans, breaking the lines, and looking at what really happened."""

from collections import Counter
from typing import Any

from aiohttp import web

from simulator.callbacks import Callbacks
from simulator.faults import read_patch
from simulator.handsets import SERVICES, Media, Text
from simulator.journal import Record
from simulator.network import Network
from simulator.parsing import body_of, number_in_path, query_of
from simulator.shelf import Shelf

LONGEST_POLL = 60.0


class ControlApi:
    """One method per endpoint: parse, one deed, present."""

    def __init__(self, network: Network, callbacks: Callbacks, shelf: Shelf) -> None:
        self._network = network
        self._memory = network.memory
        self._callbacks = callbacks
        self._shelf = shelf

    def routes(self) -> list[web.RouteDef]:
        """Every endpoint under /control."""
        handset = "/control/handsets/{number}"
        return [
            web.put("/control/lines/{number}", self.set_line),
            web.put("/control/lines/{number}/faults", self.set_faults),
            web.get("/control/lines/{number}/faults", self.faults),
            web.post("/control/media", self.add_file),
            web.get("/control/handsets", self.handsets),
            web.post(f"{handset}/texts", self.text),
            web.post(f"{handset}/tapbacks", self.tapback),
            web.post(f"{handset}/reads", self.read),
            web.post(f"{handset}/typing", self.typing),
            web.put(f"{handset}/service", self.set_service),
            web.get(f"{handset}/inbox", self.inbox),
            web.get(f"{handset}/wait", self.wait),
            web.get("/control/journal", self.journal),
            web.get("/control/stats", self.stats),
        ]

    async def set_line(self, request: web.Request) -> web.Response:
        """Create a line of the provider's."""
        body = await body_of(request)
        kind = body.choice("kind", ("pool", "router"), default="pool")
        return web.json_response(self._network.set_line(number_in_path(request), kind=kind).as_json())

    async def set_faults(self, request: web.Request) -> web.Response:
        """Merge fault settings into a line's; null resets one."""
        patch = read_patch((await body_of(request)).values)
        return web.json_response(self._network.set_faults(number_in_path(request), patch).faults.shown())

    async def faults(self, request: web.Request) -> web.Response:
        """Every fault of a line with its present value."""
        return web.json_response(self._memory.line(number_in_path(request)).faults.shown())

    async def handsets(self, request: web.Request) -> web.Response:
        """Every handset that was ever used."""
        return web.json_response({"handsets": [handset.summary() for handset in self._memory.handsets.values()]})

    async def add_file(self, request: web.Request) -> web.Response:
        """Put a file on the network; its URL may then be sent with a handset's text."""
        file = await self._shelf.put(request.content.iter_any(), content_type=request.content_type)
        url = f"{request.url.origin()}/v1/media/{file['id']}"
        return web.json_response({**file, "url": url}, status=201)

    async def text(self, request: web.Request) -> web.Response:
        """The human texts a line."""
        body = await body_of(request)
        media = [self._known(medium) for medium in body.media()]
        text = self._network.text_a_line(
            number_in_path(request),
            body.number("to"),
            text=body.text("text", media=media),
            media=media,
            reply_to=body.reply_target(),
        )
        return web.json_response(text.as_bubble(), status=201)

    async def tapback(self, request: web.Request) -> web.Response:
        """The human adds, replaces or removes a tapback."""
        body = await body_of(request)
        text = self._network.tap_from_handset(
            number_in_path(request),
            bubble=body.word("bubble"),
            line=body.number_or_none("with"),
            tapback=body.tapback(),
            remove=body.flag("remove", default=False),
        )
        return web.json_response(text.as_bubble())

    async def read(self, request: web.Request) -> web.Response:
        """The human reads one thread, or all."""
        line = (await body_of(request)).number_or_none("with")
        return web.json_response({"read": self._network.read_on_handset(number_in_path(request), line=line)})

    async def typing(self, request: web.Request) -> web.Response:
        """The human starts or stops typing."""
        body = await body_of(request)
        line, on = body.number("with"), body.flag("on")
        self._network.type_on_handset(number_in_path(request), line, on=on)
        return web.json_response({"with": line, "on": on})

    async def set_service(self, request: web.Request) -> web.Response:
        """Put the handset on iMessage, on SMS alone, or switch it off."""
        service = (await body_of(request)).choice("service", SERVICES)
        return web.json_response(self._network.set_service(number_in_path(request), service).summary())

    async def inbox(self, request: web.Request) -> web.Response:
        """The newest bubbles of the handset, oldest first."""
        query = query_of(request)
        handset = self._memory.handset(number_in_path(request))
        bubbles = handset.inbox(line=query.number_or_none("with"), limit=query.limit())
        return web.json_response({"bubbles": [text.as_bubble() for text in bubbles]})

    async def wait(self, request: web.Request) -> web.Response:
        """What the agent's side did to the handset after a cursor, waiting for it if need be."""
        query, newest = query_of(request), self._network.journal.cursor
        after, limit = query.after(default=newest), query.limit()
        happened = await self._network.wait_for_happenings(
            number_in_path(request),
            after=after,
            seconds=query.seconds("seconds", default=25.0, most=LONGEST_POLL),
            limit=limit,
        )
        # A full page ends at its last row, anything else at the journal's end.
        reached = happened[-1][0] if len(happened) == limit else max(after, self._network.journal.cursor)
        shown = [_shown(cursor, happening, self._memory.texts) for cursor, happening in happened]
        return web.json_response({"events": shown, "next": reached})

    def _known(self, medium: Media) -> Media:
        """A medium with what the network knows of its own files."""
        file = self._memory.files.get(medium["url"].rpartition("/v1/media/")[2])
        return {**medium, "content_type": file["content_type"], "size": file["size"]} if file else medium

    async def journal(self, request: web.Request) -> web.Response:
        """The journal's lines as written, each with its cursor; the callback secret is left out."""
        query = query_of(request)
        after = query.after()
        lines = self._network.journal.lines(
            kind=query.word_or_none("type"), after=after, limit=query.limit(default=1_000, most=10_000)
        )
        shown = [{"cursor": cursor, **_without_secret(record)} for cursor, record in lines]
        return web.json_response({"lines": shown, "next": lines[-1][0] if lines else after})

    async def stats(self, request: web.Request) -> web.Response:
        """Counts of what the network holds and has done."""
        memory, count = self._memory, self._network.journal.count
        texts = Counter(text.direction for text in memory.texts.values())
        return web.json_response(
            {
                "lines": len(memory.lines),
                "handsets": len(memory.handsets),
                "texts": {"outbound": texts["outbound"], "inbound": texts["inbound"]},
                "delivered_to_handset": count("delivered_to_handset"),
                "failed": count("text_failed"),
                "swallowed": count("text_swallowed"),
                "waiting": sum(len(texts) for texts in memory.waiting.values()),
                "events": len(memory.events),
                "callbacks": {
                    "pending": len(memory.pending),
                    "taken": count("callback_taken"),
                    "given_up": count("callback_given_up"),
                    "posts_this_run": self._callbacks.attempts,
                },
                "journal": self._network.journal.cursor,
            }
        )


def _shown(cursor: int, happening: dict[str, Any], texts: dict[str, Text]) -> dict[str, Any]:
    if happening["type"] != "bubble":
        return {"cursor": cursor, **happening}
    bubble = texts[happening["message_id"]].as_bubble()
    return {"cursor": cursor, "type": "bubble", "with": happening["with"], "bubble": bubble}


def _without_secret(record: Record) -> Record:
    return {name: value for name, value in record.items() if name != "secret"}
