"""The control API: being the humans, breaking the lines, and looking at what really happened."""

from collections import Counter
from typing import Any

from aiohttp import web

from simulator.callbacks import Callbacks
from simulator.faults import read_patch
from simulator.handsets import IMESSAGE, SERVICES, SMS, Handset, Media, Text
from simulator.journal import Record
from simulator.network import Network
from simulator.parsing import body_of, number_in_path, query_of
from simulator.shelf import Shelf

LONGEST_POLL = 60.0
KINDS = ("pool", "router", "dedicated")


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
            web.get("/control/media/{id}", self.file),
            web.get("/control/handsets", self.handsets),
            web.post(f"{handset}/groups", self.open_group),
            web.patch(f"{handset}/groups/{{key}}", self.change_group),
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
        kind = body.choice("kind", KINDS, default="pool")
        service = body.choice("service", (IMESSAGE, SMS), default=IMESSAGE)
        line = self._network.set_line(number_in_path(request), kind=kind, service=service)
        return web.json_response(line.as_json())

    async def set_faults(self, request: web.Request) -> web.Response:
        """Merge fault settings into a line's; null resets one."""
        patch = read_patch((await body_of(request)).values)
        return web.json_response(self._network.set_faults(number_in_path(request), patch).faults.shown())

    async def faults(self, request: web.Request) -> web.Response:
        """Every fault of a line with its present value."""
        return web.json_response(self._memory.line(number_in_path(request)).faults.shown())

    async def handsets(self, request: web.Request) -> web.Response:
        """Every handset that was ever used."""
        return web.json_response({"handsets": [self._summary(handset) for handset in self._memory.handsets.values()]})

    async def add_file(self, request: web.Request) -> web.Response:
        """Put a file on the network; its URL may then be sent with a handset's text."""
        file = await self._shelf.put(request.content.iter_any(), content_type=request.content_type)
        url = f"{request.url.origin()}/v1/media/{file['id']}"
        return web.json_response({**file, "url": url}, status=201)

    async def file(self, request: web.Request) -> web.FileResponse:
        """A file of the network's shelf, as a phone shows it."""
        file_id = request.match_info["id"]
        headers = {"Content-Type": self._memory.file(file_id)["content_type"]}
        return web.FileResponse(self._shelf.path(file_id), headers=headers)

    async def open_group(self, request: web.Request) -> web.Response:
        """The human makes a group with others and a line."""
        body = await body_of(request)
        group = self._network.groups.open(
            number_in_path(request),
            line=body.number("line"),
            members=body.numbers("members"),
            name=body.group_name_or_none("name") or "",
        )
        return web.json_response(group.as_json(), status=201)

    async def change_group(self, request: web.Request) -> web.Response:
        """The human adds or removes members, leaves by removing themselves, or names the group."""
        body = await body_of(request)
        group = self._network.groups.change(
            number_in_path(request),
            request.match_info["key"],
            add=body.numbers("add"),
            remove=body.numbers("remove"),
            name=body.group_name_or_none("name"),
        )
        return web.json_response(group.as_json())

    async def text(self, request: web.Request) -> web.Response:
        """The human writes to a line, or into a group."""
        body, human = await body_of(request), number_in_path(request)
        media = [self._known(medium) for medium in body.media()]
        to, words, effect = body.thread("to"), body.text("text", media=media), body.word_or_none("effect")
        reply_to = self._reply_target(human, to, body.reply_target())
        write = self._network.groups.text if to.startswith("grp_") else self._network.text_a_line
        text = write(human, to, text=words, media=media, reply_to=reply_to, effect=effect)
        return web.json_response(text.as_bubble(human), status=201)

    async def tapback(self, request: web.Request) -> web.Response:
        """The human adds, replaces or removes a tapback."""
        body, human = await body_of(request), number_in_path(request)
        text = self._network.tap_from_handset(
            human,
            bubble=body.word("bubble"),
            thread=body.thread_or_none("with"),
            tapback=body.tapback(),
            remove=body.flag("remove", default=False),
        )
        return web.json_response(text.as_bubble(human))

    async def read(self, request: web.Request) -> web.Response:
        """The human reads one thread, or all."""
        thread = (await body_of(request)).thread_or_none("with")
        return web.json_response({"read": self._network.read_on_handset(number_in_path(request), thread=thread)})

    async def typing(self, request: web.Request) -> web.Response:
        """The human starts or stops typing."""
        body = await body_of(request)
        thread, on = body.thread("with"), body.flag("on")
        show = self._network.groups.type if thread.startswith("grp_") else self._network.type_on_handset
        show(number_in_path(request), thread, on=on)
        return web.json_response({"with": thread, "on": on})

    async def set_service(self, request: web.Request) -> web.Response:
        """Put the handset on iMessage, on SMS alone, or switch it off."""
        service = (await body_of(request)).choice("service", SERVICES)
        return web.json_response(self._summary(self._network.set_service(number_in_path(request), service)))

    async def inbox(self, request: web.Request) -> web.Response:
        """The newest bubbles of the handset, oldest first."""
        query, human = query_of(request), number_in_path(request)
        handset, thread = self._memory.handset(human), query.thread_or_none("with")
        bubbles = [text.as_bubble(human) for text in handset.inbox(thread=thread, limit=query.limit())]
        return web.json_response({"bubbles": bubbles, "background": handset.backgrounds.get(thread or "")})

    async def wait(self, request: web.Request) -> web.Response:
        """What the agent's side did to the handset after a cursor, waiting for it if need be."""
        query, human, newest = query_of(request), number_in_path(request), self._network.journal.cursor
        after, limit = query.after(default=newest), query.limit()
        happened = await self._network.wait_for_happenings(
            human,
            after=after,
            seconds=query.seconds("seconds", default=25.0, most=LONGEST_POLL),
            limit=limit,
        )
        # A full page ends at its last row, anything else at the journal's end.
        reached = happened[-1][0] if len(happened) == limit else max(after, self._network.journal.cursor)
        shown = [_shown(cursor, happening, self._memory.texts, human) for cursor, happening in happened]
        return web.json_response({"events": shown, "next": reached})

    def _summary(self, handset: Handset) -> dict[str, Any]:
        """One row of the list of handsets, with the groups that the human is in."""
        groups = [group.as_json() for group in self._memory.groups_of(handset.number)]
        return {**handset.summary(), "groups": groups}

    def _reply_target(self, human: str, thread: str, target: dict[str, Any] | None) -> dict[str, Any] | None:
        """The bubble that is answered, by its id when it was named as the last received."""
        if target is None or target["id"] != "last":
            return target
        return {**target, "id": self._network.bubble(self._memory.handset(human), "last", thread=thread).id}

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


def _shown(cursor: int, happening: dict[str, Any], texts: dict[str, Text], human: str) -> dict[str, Any]:
    if happening["type"] != "bubble":
        return {"cursor": cursor, **happening}
    bubble = texts[happening["message_id"]].as_bubble(human)
    return {"cursor": cursor, "type": "bubble", "with": happening["with"], "bubble": bubble}


def _without_secret(record: Record) -> Record:
    return {name: value for name, value in record.items() if name != "secret"}
