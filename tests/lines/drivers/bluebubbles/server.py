"""A BlueBubbles server 1.9.9 as far as its documented surface goes, with the faults it is known for.

Run as a process of its own; `/api/v1` takes the server password as a query field, `/control` is the test's hand.
"""

import asyncio
import json
from collections import defaultdict
from typing import Any

import aiohttp
from aiohttp import web

from tests.lines.drivers.bluebubbles.mac import Mac

PASSWORD = "server password & more"
HELPER_OFF = "iMessage Private API Helper is not connected!"

# What these faults answer, and whether the text leaves all the same.
FAULTS = {
    "timeout_left": (500, "iMessage Error", "Transaction timeout", True),
    "timeout_not_left": (500, "iMessage Error", "Transaction timeout", False),
    "row_missing": (500, "iMessage Error", "Failed to find the sent message in the database", True),
    "server_error": (500, "Server Error", "Failed to create chat", True),
    "gateway": (504, "Gateway Timeout", "The request took too long", True),
    "helper_off": (500, "iMessage Error", HELPER_OFF, False),
    "private_api_off": (500, "iMessage Error", "iMessage Private API is not enabled!", False),
    "invalid": (400, "Validation Error", "The message is required", False),
    "queued": (400, "Validation Error", "Message is already queued to be sent!", False),
    "no_chat": (404, "Not Found", "Chat does not exist!", False),
}


class Server:
    """The HTTP surface over one Mac."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """A new Mac: nothing of the last test is left."""
        self.mac = Mac()
        self.uploads: dict[str, dict[str, Any]] = {}
        self.webhooks: dict[int, dict[str, Any]] = {}
        self.calls: list[dict[str, Any]] = []
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.duplicated = self.reordered = self.deaf = self.posting = False
        self.kept: list[dict[str, str]] = []
        self.under_way: list[asyncio.Task[None]] = []

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._middleware], client_max_size=64 * 1024 * 1024)
        app.add_routes(
            [web.post(f"/control/{name[8:]}", getattr(self, name)) for name in dir(self) if "control_" in name]
        )
        api = {
            ("GET", "ping"): self.ping,
            ("GET", "server/info"): self.info,
            ("GET", "icloud/account"): self.account,
            ("GET", "webhook"): self.list_webhooks,
            ("POST", "webhook"): self.add_webhook,
            ("DELETE", "webhook/{id}"): self.delete_webhook,
            ("POST", "message/text"): self.send_text,
            ("POST", "message/attachment"): self.send_attachment,
            ("POST", "message/multipart"): self.send_parts,
            ("POST", "attachment/upload"): self.upload,
            ("POST", "message/react"): self.react,
            ("POST", "message/query"): self.query,
            ("GET", "message/{guid}"): self.message,
            ("POST", "message/{guid}/edit"): self.edit,
            ("POST", "message/{guid}/unsend"): self.unsend,
            ("POST", "chat/new"): self.new_chat,
            ("PUT", "chat/{guid}"): self.rename,
            ("POST", "chat/{guid}/typing"): self.typing,
            ("DELETE", "chat/{guid}/typing"): self.typing,
            ("POST", "chat/{guid}/read"): self.read,
            ("GET", "handle/availability/imessage"): self.availability,
            ("GET", "attachment/{guid}/download"): self.download,
            ("GET", "server/restart/soft"): self.done,
            ("POST", "mac/imessage/restart"): self.done,
        }
        app.add_routes([web.route(method, f"/api/v1/{path}", handler) for (method, path), handler in api.items()])
        return app

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/control/"):
            return await handler(request)
        if not self.mac.up:
            return _cut(request)
        if request.query.get("password") != PASSWORD:
            return _error(401, "Authentication Error", "Unauthorized")
        self.calls.append({"method": request.method, "path": request.path.removeprefix("/api/v1/")})
        if request.content_type == "application/json":
            self.calls[-1]["body"] = await request.json()
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return _error(404, "Not Found", "Not found")

    # --- what the server can do

    async def ping(self, request: web.Request) -> web.Response:
        return _ok("pong")

    async def done(self, request: web.Request) -> web.Response:
        return _ok(None)

    async def info(self, request: web.Request) -> web.Response:
        mac = self.mac
        return _ok(
            {
                "os_version": "14.6",
                "server_version": "1.9.9",
                "private_api": mac.private_api,
                "helper_connected": mac.helper,
                "detected_imessage": "someone-else@example.org",
                "macos_time_sync": mac.clock_offset,
            }
        )

    async def account(self, request: web.Request) -> web.Response:
        if refused := self._without_helper():
            return refused
        mac = self.mac
        return _ok(
            {
                "apple_id": "line@example.org",
                "login_status_message": mac.login,
                "active_alias": mac.active_alias,
                "aliases": [{"Alias": alias, "Status": 3} for alias in mac.aliases],
                "vetted_aliases": [{"Alias": alias, "Status": 3} for alias in mac.aliases],
            }
        )

    async def send_text(self, request: web.Request) -> web.Response:
        body = await request.json()
        address = self._address(body["chatGuid"])
        needs_helper = any(body.get(name) for name in ("effectId", "subject", "selectedMessageGuid"))
        if body.get("method") == "private-api" or needs_helper:
            if refused := self._without_helper():
                return refused
            if address not in self.mac.groups and body["chatGuid"] != self.mac.chats.get(address):
                return _error(404, "Not Found", "Chat does not exist!")
        return await self._send(request, "text", address, body)

    async def new_chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("method") == "private-api" and (refused := self._without_helper()):
            return refused
        address = body["addresses"][0]
        if len(body["addresses"]) > 1:
            if body.get("method") != "private-api":
                return _error(500, "Server Error", "Cannot create group chats on macOS Big Sur or newer!")
            address = self.mac.add_group(body["addresses"])
        answer = await self._send(request, "chat", address, body)
        if answer.status != 200 or not answer.body:
            return answer
        row = json.loads(answer.body)["data"]
        guid = address if address in self.mac.groups else self.mac.chats[address]
        row.pop("chats")  # the row stands in the chat
        return _ok({"guid": guid, "chatIdentifier": address, "messages": [row]})

    async def send_attachment(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.calls[-1]["body"] = {name: value for name, value in form.items() if isinstance(value, str)}
        if form.get("method") == "private-api" and (refused := self._without_helper()):
            return refused
        sent = form["attachment"]
        assert isinstance(sent, web.FileField)
        file = self.mac.add_file(sent.file.read(), name=str(form["name"]), mime_type=sent.content_type)
        body = {"tempGuid": form.get("tempGuid"), "message": None, "attachments": [file]}
        return await self._send(request, "attachment", self._address(str(form["chatGuid"])), body)

    async def upload(self, request: web.Request) -> web.Response:
        if refused := self._without_helper():
            return refused
        sent = (await request.post())["attachment"]
        assert isinstance(sent, web.FileField)
        file = self.mac.add_file(sent.file.read(), name=sent.filename, mime_type=sent.content_type)
        self.uploads[f"{file['guid']}/{sent.filename}"] = file
        return _ok({"path": f"{file['guid']}/{sent.filename}"})

    async def send_parts(self, request: web.Request) -> web.Response:
        if refused := self._without_helper():
            return refused
        body = await request.json()
        parts = sorted(body["parts"], key=lambda part: part["partIndex"])
        files = [self.uploads[part["attachment"]] for part in parts if part.get("attachment")]
        # Where a file stands, the text of the row has a placeholder.
        text = "".join(part.get("text", "\N{OBJECT REPLACEMENT CHARACTER}") for part in parts)
        body |= {"message": text, "attachments": files}
        return await self._send(request, "parts", self._address(body["chatGuid"]), body)

    def _address(self, guid: str) -> str:
        """Whom a chat is with: the human alone, or the group itself."""
        return guid if guid in self.mac.groups else guid.rpartition(";")[2]

    async def _send(self, request: web.Request, kind: str, address: str, body: dict[str, Any]) -> web.Response:
        fault = self.faults[kind].pop(0) if self.faults[kind] else ""
        if body.get("tempGuid") in self.mac.in_flight:
            fault = "queued"
        if fault in FAULTS:
            status, type_, message, left = FAULTS[fault]
            if left:
                self._sent(address, body)
            return _error(status, type_, message)
        if fault.startswith("failed_"):  # the answer gives neither number nor message
            self._sent(address, body)["error"] = int(fault.removeprefix("failed_"))
            return _error(500, "iMessage Error", "Message sent with an error. See attached message")
        if fault == "silent":  # takes the order, and nothing comes of it
            self.mac.in_flight.add(body.get("tempGuid", ""))
            await asyncio.sleep(60)
        row = self._sent(address, body)
        if fault == "slow":
            await asyncio.sleep(1)
        if fault.startswith("error_"):
            row["error"] = int(fault.removeprefix("error_"))  # written after the answer, and told by no event
            return _ok(self.mac.shown(row) | {"error": 0})
        if fault == "cut":
            return _cut(request)
        answer = self.mac.shown(row)
        if fault != "stuck" and self.mac.settle(row["guid"]):
            self._post("updated-message", self.mac.shown(row, chats=False))
        return _ok(answer)

    def _sent(self, address: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = {"threadOriginatorGuid": body["selectedMessageGuid"]} if body.get("selectedMessageGuid") else {}
        row = self.mac.add_own(
            address,
            body.get("message"),
            attachments=body.get("attachments", []),
            expressiveSendStyleId=body.get("effectId"),
            **reply,
        )
        seen = self.mac.shown(row)
        self._post("new-message", seen | {"tempGuid": body.get("tempGuid")})
        self._post("new-message", seen)
        return row

    async def react(self, request: web.Request) -> web.Response:
        if refused := self._without_helper():
            return refused
        body = await request.json()
        target = self.mac.rows[body["selectedMessageGuid"]]
        row = self.mac.add_own(
            target["_chat"] if target["_chat"] in self.mac.groups else target["handle"]["address"],
            "Reacted",
            associatedMessageGuid=f"p:{body.get('partIndex', 0)}/{target['guid']}",
            associatedMessageType=body["reaction"],
        )
        self._post("new-message", self.mac.shown(row))
        return _ok(self.mac.shown(row))

    async def edit(self, request: web.Request) -> web.Response:
        return await self._change(request, dateEdited=self.mac.now(), text=(await request.json())["editedMessage"])

    async def unsend(self, request: web.Request) -> web.Response:
        return await self._change(request, dateRetracted=self.mac.now())

    async def _change(self, request: web.Request, **fields: Any) -> web.Response:
        if refused := self._without_helper():
            return refused
        row = self.mac.rows[request.match_info["guid"]]
        row.update(fields)
        self._post("updated-message", self.mac.shown(row, chats=False))
        return _ok(self.mac.shown(row))

    async def rename(self, request: web.Request) -> web.Response:
        """Waits until the name is another; said of a group alone."""
        guid, name = request.match_info["guid"], (await request.json())["displayName"]
        if guid not in self.mac.groups:
            return _error(500, "iMessage Error", "Cannot rename a non-group chat!")
        if refused := self._without_helper():
            return refused
        self._group_event(guid, "group-name-change", {"name": name}, isFromMe=True, itemType=2, groupTitle=name)
        return _ok({"guid": guid, "displayName": name})

    def _group_event(self, guid: str, event: str, change: dict[str, Any], *, human: str = "", **row: Any) -> str:
        self.mac.groups[guid].update(change)
        told = self.mac.add_heard(human, None, chat=guid, **row)
        self._post(event, self.mac.shown(told))
        return str(told["guid"])

    async def typing(self, request: web.Request) -> web.Response:
        return self._without_helper() or _ok(None)

    async def read(self, request: web.Request) -> web.Response:
        return self._without_helper() or _ok(None)

    async def availability(self, request: web.Request) -> web.Response:
        return self._without_helper() or _ok({"available": self.mac.is_on_imessage(request.query["address"])})

    async def query(self, request: web.Request) -> web.Response:
        body = await request.json()
        found = self.mac.found(body)
        start, limit = body.get("offset", 0), min(body.get("limit", 100), 1000)
        asked = body.get("with", [])
        shown = {"chats": "chat" in asked, "members": "chat.participants" in asked}
        page = [self.mac.shown(row, **shown) for row in found[start : start + limit]]
        return _ok(page, metadata={"offset": start, "limit": limit, "total": len(found), "count": len(page)})

    async def message(self, request: web.Request) -> web.Response:
        row = self.mac.rows.get(request.match_info["guid"])
        return (
            _ok(self.mac.shown(row, chats="with" in request.query)) if row else _error(404, "Not Found", "No message")
        )

    async def download(self, request: web.Request) -> web.Response:
        content = self.mac.files.get(request.match_info["guid"])
        return web.Response(body=content) if content is not None else _error(404, "Not Found", "No attachment")

    async def list_webhooks(self, request: web.Request) -> web.Response:
        return _ok(list(self.webhooks.values()))

    async def add_webhook(self, request: web.Request) -> web.Response:
        body = await request.json()
        if "imessage-aliases-removed" in body["events"]:
            return _error(400, "Validation Error", "The events are invalid")
        known = [hook for hook in self.webhooks.values() if hook["url"] == body["url"]]
        if known:  # returned unchanged, its events are not updated
            return _ok(known[0])
        hook = {"id": len(self.calls), "url": body["url"], "events": body["events"]}
        self.webhooks[hook["id"]] = hook
        return _ok(hook)

    async def delete_webhook(self, request: web.Request) -> web.Response:
        self.webhooks.pop(int(request.match_info["id"]), None)
        return _ok(None)

    def _without_helper(self) -> web.Response | None:
        if not self.mac.private_api:
            return _error(500, "iMessage Error", "iMessage Private API is not enabled!")
        return None if self.mac.helper else _error(500, "iMessage Error", HELPER_OFF)

    # --- callbacks: one POST each, no secret, no retry

    def _post(self, type_: str, data: Any) -> None:
        if not (self.mac.watcher and self.mac.up) or self.deaf:
            return
        for hook in self.webhooks.values():
            if hook["events"] == ["*"] or type_ in hook["events"]:
                post = {"url": hook["url"], "body": json.dumps({"type": type_, "data": data})}
                for _ in range(2 if self.duplicated else 1):
                    self.kept.insert(0 if self.reordered else len(self.kept), post)
                    if self.posting:
                        self.under_way.append(asyncio.create_task(_deliver(**post)))

    # --- the test's hand

    async def control_forget(self, request: web.Request) -> web.Response:
        self.forget()
        return _ok(None)

    async def control_set(self, request: web.Request) -> web.Response:
        """Attributes of the Mac, or of the server's callbacks: duplicated, reordered, deaf, posting."""
        for name, value in (await request.json()).items():
            setattr(self.mac if hasattr(self.mac, name) else self, name, value)
        return _ok(None)

    async def control_fault(self, request: web.Request) -> web.Response:
        for kind, faults in (await request.json()).items():
            self.faults[kind] += faults
        return _ok(None)

    async def control_heal(self, request: web.Request) -> web.Response:
        self.faults.clear()
        return _ok(None)

    async def control_hear(self, request: web.Request) -> web.Response:
        """A human does something: the row's fields, `human`, and `files` as {name, mime_type, content}."""
        body = await request.json()
        human, text = body.pop("human"), body.pop("text", None)
        files = [self.mac.add_file(file.pop("content").encode(), **file) for file in body.pop("files", [])]
        row = self.mac.add_heard(human, text, attachments=files, **body)
        self._post("new-message", self.mac.shown(row))
        return _ok(self.mac.shown(row))

    async def control_group(self, request: web.Request) -> web.Response:
        """A group is there, or is another: `guid` when it is known, `members`, `name`, who did it."""
        body = await request.json()
        guid = body.get("guid") or self.mac.add_group(body["members"], name=body.get("name", ""))
        by = body.get("by", "")
        change = {name: body[name] for name in ("members", "name") if name in body}
        if body.get("guid") and "members" in body:
            self._group_event(guid, "participant-added", change, human=by, itemType=1)
        elif body.get("guid"):
            self._group_event(guid, "group-name-change", change, human=by, itemType=2, groupTitle=body["name"])
        return _ok(guid)

    async def control_change(self, request: web.Request) -> web.Response:
        """A row changes; `event` says under which type that is told, empty for silence."""
        body = await request.json()
        row, event = self.mac.rows[body.pop("guid")], body.pop("event", "updated-message")
        self.mac.hidden[row["guid"]].update(body.pop("hidden", {}))
        row.update(body)
        if event:
            self._post(event, self.mac.shown(row, chats=event == "new-message"))
        return _ok(self.mac.shown(row))

    async def control_event(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._post(body["type"], body.get("data"))
        return _ok(None)

    async def control_calls(self, request: web.Request) -> web.Response:
        return _ok(self.calls)

    async def control_left(self, request: web.Request) -> web.Response:
        return _ok(self.mac.left)

    async def control_posts(self, request: web.Request) -> web.Response:
        """The callbacks since the last time, in the order in which they arrive; `posting` also posts them."""
        kept, self.kept = self.kept, []
        await asyncio.gather(*self.under_way, return_exceptions=True)
        return _ok(kept)


async def _deliver(url: str, body: str) -> None:
    async with aiohttp.ClientSession() as session:
        await session.post(url, data=body, headers={"Content-Type": "application/json"})


def _ok(data: Any, **more: Any) -> web.Response:
    return web.json_response({"status": 200, "message": "Success", "data": data, **more})


def _error(status: int, type_: str, message: str) -> web.Response:
    body = {"status": status, "message": "No", "error": {"type": type_, "message": message}}
    return web.json_response(body, status=status)


def _cut(request: web.Request) -> web.Response:
    """Close the connection without an answer."""
    if request.transport:
        request.transport.abort()
    return web.Response()


async def _main() -> None:
    runner = web.AppRunner(Server().application(), shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
