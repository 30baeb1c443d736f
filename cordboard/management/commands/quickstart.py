"""`manage.py quickstart`: a demo organization that can be talked with at once. Repeating it changes nothing."""

import base64
import json
import secrets
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.identities import create_identity
from accounts.keys import create_key
from accounts.members import add_member, create_organization
from accounts.models import ApiKey, Identity, Organization, User
from cordboard import demo
from core.actor import Actor, Role
from core.errors import DomainError
from imessage import owning
from lines import claiming, health, provisioning, simulation
from lines.models import Line
from lines.providers.base import ProviderCallFailed

OPERATOR_EMAIL = "operator@example.com"
ROUTER = "+15555550100"
POOL = [f"+1555555010{n}" for n in range(1, 9)]
# The organization's own: one that groups can be made with, and one that has SMS alone.
OWNED = {"+15555550111": Line.Service.IMESSAGE, "+15555550112": Line.Service.SMS}
# Nobody's yet: any organization may claim them.
FREE = [f"+1555555011{n}" for n in range(3, 6)]

_ACTOR = Actor.system("quickstart")


class Command(BaseCommand):
    help = (
        "Make the demo organization: an operator, identities, its own numbers, a router and a pool of simulated lines."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", help="The data folder (also CORDBOARD_DATA).")
        parser.add_argument("--json", action="store_true", help="Print JSON.")
        parser.add_argument(
            "--history", action="store_true", help="Also have some humans talk with @concierge; needs web and worker."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            organization = _organization()
            _lines()
            _identities(organization)
            _owned_numbers(organization)
            _echo_key(organization)
            if options["history"]:
                demo.tell_history()
        except DomainError as refused:
            raise CommandError(refused.message) from refused
        except ProviderCallFailed as failed:
            raise CommandError(f"The simulated phone network refused: {failed}") from failed
        made = {
            "base_url": settings.BASE_URL,
            "organization_id": organization.public_id,
            "router_number": ROUTER,
            "owned_numbers": list(OWNED),
            "operator": {"email": OPERATOR_EMAIL},
        }
        self.stdout.write(json.dumps(made) if options["json"] else _readable(made))


def _organization() -> Organization:
    organization = Organization.objects.named("demo").first() or create_organization(_ACTOR, name="demo")
    if not User.objects.filter(email=OPERATOR_EMAIL).exists():
        password = secrets.token_urlsafe(15)
        _keep("operator.password", password)
        add_member(
            _ACTOR,
            organization,
            email=OPERATOR_EMAIL,
            password=password,
            role=Role.ADMIN,
            is_superuser=True,
            is_staff=True,
            name="Demo operator",
        )
    return organization


def _lines() -> None:
    if not settings.SIMULATOR_URL:
        raise CommandError("The simulated phone network is not set up for this data folder; start it with bin/run.")
    account = provisioning.add_account(
        _ACTOR,
        provider="simulated",
        name="Simulated phone network",
        base_url=settings.SIMULATOR_URL,
        token=settings.SIMULATOR_PROVIDER_TOKEN,
        callback_secret="whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
    )
    provisioning.install_callbacks(account)
    for address in [ROUTER, *POOL, *OWNED, *FREE]:
        kind = _kind(address)
        service = OWNED.get(address, Line.Service.IMESSAGE)
        simulation.add_line(address, kind=kind, service=service)
        line = provisioning.add_line(_ACTOR, account, address=address, kind=kind, service=service)
        if line.seen != Line.Seen.HEALTHY:
            health.probe(line)


def _kind(address: str) -> str:
    if address in {*OWNED, *FREE}:
        return Line.Kind.DEDICATED
    return Line.Kind.ROUTER if address == ROUTER else Line.Kind.POOL


def _identities(organization: Organization) -> None:
    for handle, name, description in demo.IDENTITIES:
        if not Identity.objects.filter(handle=handle).exists():
            create_identity(
                _ACTOR,
                organization=organization,
                handle=handle,
                display_name=name,
                description=description,
                imessage_enabled=True,
            )


def _owned_numbers(organization: Organization) -> None:
    """Both speak for @concierge; one that was released or given to another meanwhile is left so."""
    concierge = Identity.objects.get(handle="concierge")
    for line in Line.objects.claimable().filter(address__in=OWNED).order_by("address"):
        with transaction.atomic():
            claimed = claiming.claim_line(_ACTOR, organization=organization, address=line.address)
            owning.attach(_ACTOR, claimed, concierge)


def _echo_key(organization: Organization) -> None:
    """The key of the example agent, kept beside the password; made anew when its file was lost."""
    if (settings.DATA_DIR / "echo.key").is_file() and ApiKey.objects.filter(label="examples/first_agent.py").exists():
        return
    _, text = create_key(
        _ACTOR,
        organization=organization,
        identity=Identity.objects.get(handle="echo"),
        label="examples/first_agent.py",
    )
    _keep("echo.key", text)


def _keep(name: str, secret: str) -> None:
    """A secret of the demo, readable by its owner only."""
    path = settings.DATA_DIR / name
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(secret + "\n")


def _readable(made: dict[str, Any]) -> str:
    return "\n".join(
        [
            f"Console:   {made['base_url']}/console/",
            f"Operator:  {made['operator']['email']} (password in {settings.DATA_DIR / 'operator.password'})",
            f"Router:    {made['router_number']}",
            f"Numbers:   {', '.join(made['owned_numbers'])} (@concierge's own: iMessage, SMS)",
        ]
    )
