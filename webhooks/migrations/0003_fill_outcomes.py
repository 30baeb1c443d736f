"""What deliveries say of their last attempt, from the attempts that are kept."""

from django.db import migrations

_CAUSES = """
UPDATE webhooks_attempt SET cause = CASE
    WHEN response_status BETWEEN 200 AND 299 THEN ''
    WHEN response_status BETWEEN 300 AND 399 THEN 'redirect'
    WHEN response_status = 410 THEN 'gone'
    WHEN response_status = 429 THEN 'limited'
    WHEN response_status BETWEEN 400 AND 499 THEN 'client'
    WHEN response_status >= 500 THEN 'server'
    WHEN error_detail LIKE 'There was no whole answer within%' THEN 'timeout'
    WHEN error_detail LIKE 'The certificate%' OR error_detail LIKE 'The TLS%' THEN 'tls'
    WHEN error_detail LIKE 'The connection was closed%' THEN 'closed'
    WHEN error_detail LIKE 'The answer was not%' OR error_detail LIKE 'The request cannot%' THEN 'protocol'
    ELSE 'connect'
END
"""

_DELIVERIES = """
UPDATE webhooks_delivery delivery SET
    identity_id = endpoint.identity_id,
    tries = coalesce(last.tries, 0),
    last_try_at = last.at,
    last_status = last.response_status,
    last_ms = last.duration_ms,
    cause = coalesce(last.cause, ''),
    replayed_at = CASE WHEN last.is_replay THEN last.at END,
    ending = CASE
        WHEN delivery.state <> 'failed' OR delivery.kind = 'test' THEN ''
        WHEN last.cause = 'gone' THEN 'gone'
        WHEN endpoint.status = 'disabled' THEN 'dropped'
        ELSE ''
    END
FROM webhooks_subscription endpoint, webhooks_delivery own
LEFT JOIN LATERAL (
    SELECT at, response_status, duration_ms, cause, is_replay, count(*) OVER () AS tries
    FROM webhooks_attempt WHERE delivery_id = own.id ORDER BY at DESC, id DESC LIMIT 1
) last ON true
WHERE endpoint.id = delivery.subscription_id AND own.id = delivery.id
"""


class Migration(migrations.Migration):

    dependencies = [
        ('webhooks', '0002_delivery_outcomes'),
    ]

    operations = [
        migrations.RunSQL(_CAUSES, migrations.RunSQL.noop),
        migrations.RunSQL(_DELIVERIES, migrations.RunSQL.noop),
    ]
