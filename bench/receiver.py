"""A receiver of webhooks that answers at once, or never at `/hang`; it notes when each came.

`python -m bench.receiver PORT FILE` appends a line `<webhook-id> <seconds since the epoch>` for each.
"""

import asyncio
import sys
import time
from pathlib import Path

import uvloop

_ANSWER = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
_ALIVE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def main() -> None:
    """Listen until the process is ended."""
    port, file = int(sys.argv[1]), Path(sys.argv[2])
    with file.open("a", buffering=1) as notes:  # noqa: ASYNC230 - before anything is served

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if head.startswith(b"post /hang"):
                await asyncio.sleep(3600)
            if head.startswith(b"post"):
                await reader.readexactly(int(_header(head, b"content-length")))
                notes.write(f"{_header(head, b'webhook-id').decode()} {time.time()}\n")
            writer.write(_ANSWER if head.startswith(b"post") else _ALIVE)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=1024)
        await server.serve_forever()


def _header(head: bytes, name: bytes) -> bytes:
    return head.partition(b"\r\n" + name + b":")[2].partition(b"\r\n")[0].strip()


if __name__ == "__main__":
    uvloop.run(main())
