"""Who holds a key (contract/inkbox.md, section 4)."""

from typing import Any

from django.http import HttpRequest
from ninja import Router

from api.auth import key_of
from api.shapes import key_shape
from dialects import inkbox

router = Router()


@router.get("/whoami")
@router.get("/v1/whoami")
def whoami(request: HttpRequest) -> dict[str, Any]:
    """The calling key, its organization and, when it is bound to one, its identity."""
    return inkbox.caller(key_shape(key_of(request)))
