"""Plain JSON over HTTP, as a program without any client library would speak it."""

import json
import urllib.request
from typing import Any


def call(base_url: str, key: str, method: str, path: str, body: Any = None, *, scheme: str = "") -> Any:
    """What a call answers; raises `urllib.error.HTTPError` for a refusal.

    The key stands in `X-API-Key`, or behind `scheme` in `Authorization`.
    """
    request = urllib.request.Request(
        base_url + path,
        json.dumps(body).encode() if body is not None else None,
        {
            **({"Authorization": f"{scheme} {key}"} if scheme else {"X-API-Key": key}),
            "Content-Type": "application/json",
        },
        method=method,
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        content = response.read()
        return json.loads(content) if content else None
