"""Long work while its worker is killed with -9: every row has its deed once, and its result."""

import re
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.installation import Installation, waited

pytestmark = pytest.mark.soak

RULES = 500
PATIENCE = 180

_FILL = """
INSERT INTO contactrules_contactrule
    (id, organization_id, identity_id, action, match_type, direction, match_target, status,
     created_by, created_at, updated_at)
SELECT gen_random_uuid(), organization_id, id, 'block', 'exact_number', 'both', '+1555' || (5600000 + number), 'active',
    '{"kind": "system", "id": "tests", "label": "tests"}', now(), now()
FROM accounts_identity, generate_series(1, %s) number WHERE handle = 'echo' RETURNING 1
"""
_TWICE = "SELECT subject_id FROM events_event WHERE type = 'reach.rule_updated' GROUP BY 1 HAVING count(*) > 1"


def signed_in(product: Installation) -> httpx.Client:
    """The demo's operator at the console, without a browser."""
    client = httpx.Client(base_url=product.base_url, trust_env=False, follow_redirects=True, timeout=30)
    facts = {name: re.search(rf"^  {name} +(\S+)$", product.told, re.MULTILINE) for name in ("Operator", "Password")}
    email, password = (found[1] for found in facts.values() if found)
    page = client.get("/accounts/login/")
    page = client.post(page.url, data={"login": email, "password": password} | _token(page))
    assert page.url.path.startswith("/console/"), page.url
    return client


def _token(page: httpx.Response) -> dict[str, str]:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert found, page.text
    return {"csrfmiddlewaretoken": found[1]}


@pytest.fixture
def product() -> Iterator[Installation]:
    with Installation(prepared=True) as started:
        yield started


def test_every_row_has_its_deed_once_though_the_worker_is_killed(product: Installation) -> None:
    product.sql(_FILL, RULES)
    client = signed_in(product)
    page = client.get("/console/rules/")
    asked = {"list": "rules", "query": "?identity=echo", "deed": "pause-rules", "all": "1", "confirmed": "1"}
    page = client.post("/console/jobs/new/", data=asked | _token(page))
    job_id = page.url.path.split("/")[-2]
    started = time.monotonic()

    def progress() -> tuple[str, int]:
        state, done = product.sql("SELECT state, done FROM console_job WHERE id = %s", job_id)[0]
        return state, done

    for past in (50, 250):
        waited(lambda past=past: progress()[1] >= past, within=PATIENCE, what=f"{past} rows")  # type: ignore[misc]
        former = product.kill("worker")
        product.wait_for_restart("worker", former=former)
    waited(lambda: progress()[0] == "done", within=PATIENCE, what="the end of the job")
    print(f"{RULES} rows in {time.monotonic() - started:.0f} s, two kills included")

    assert progress() == ("done", RULES)
    assert product.sql("SELECT count(*) FROM events_event WHERE type = 'reach.rule_updated'") == [(RULES,)]
    assert product.sql(_TWICE) == []
    assert product.sql("SELECT state, count(*) FROM console_jobitem GROUP BY 1") == [(2, RULES)]
    assert str(RULES) in client.get(f"/console/jobs/{job_id}/").text
