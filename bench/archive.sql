-- A year of talk, for bench/archive.py: %(humans)s ordinary conversations of %(each)s messages, one of %(long)s more.

-- Words of a vocabulary with a long tail, so that a search has common and rare ones.
CREATE FUNCTION pg_temp.words(n bigint) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT string_agg(
        (ARRAY['hello', 'thanks', 'table', 'booking', 'flight', 'hotel', 'invoice', 'please', 'tomorrow', 'price',
               'delivery', 'order', 'when', 'where', 'number', 'wonderful', 'status', 'late', 'window', 'quiet'
        ])[1 + floor(random() * 20)::int]
        || CASE WHEN random() < 0.3 THEN floor(random() * 100000)::int::text ELSE '' END, ' ')
    FROM generate_series(1, 8 + n %% 4) word
$$;

INSERT INTO imessage_connection (id, organization_id, identity_id, line_id, human, status, released_by, created_at,
    updated_at)
SELECT uuidv7(), i.organization_id, i.id, %(line)s, '+1646' || lpad(n::text, 7, '0'),
    CASE WHEN n %% 5 = 0 THEN 'released' ELSE 'active' END, CASE WHEN n %% 5 = 0 THEN 'human' ELSE '' END,
    now() - interval '300 days', now()
FROM generate_series(1, %(humans)s) n
JOIN (SELECT *, row_number() OVER (ORDER BY id) - 1 AS place FROM accounts_identity) i ON i.place = n %% 64;

INSERT INTO imessage_conversation (id, organization_id, identity_id, connection_id, human, thread_key, next_position,
    visible_total, visible_unread, blocked_total, blocked_unread, last_at, created_at, updated_at)
SELECT uuidv7(), organization_id, identity_id, id, human, human, 1, 0, 0, 0, 0,
    now() - random() * interval '300 days' - interval '1 day', created_at, now()
FROM imessage_connection c WHERE c.human LIKE '+1646%%';

INSERT INTO imessage_message (id, organization_id, identity_id, conversation_id, connection_id, line_id, human,
    direction, position, text, message_type, service, send_style, status, error_code, error_reason, error_message,
    error_detail, is_read, is_blocked, reviewed_at, rule_revision, filter_mode, provider_handle, is_late, created_at,
    updated_at)
SELECT uuidv7(), c.organization_id, c.identity_id, c.id, c.connection_id, %(line)s, c.human, said.direction,
    c.next_position + n - 1, pg_temp.words(n), 'message', CASE WHEN c.human LIKE '%%7' THEN 'sms' ELSE 'imessage' END, '',
    CASE WHEN said.direction = 'inbound' THEN 'received' WHEN random() < 0.01 THEN 'error' ELSE 'delivered' END,
    '', '', '', '', true, said.blocked, CASE WHEN said.blocked AND random() < 0.5 THEN now() END, 0, 'blacklist', '',
    false, c.last_at - (talk.long - n) * interval '1 minute', now()
FROM imessage_conversation c
CROSS JOIN LATERAL (SELECT CASE WHEN c.id = %(one)s THEN %(long)s ELSE %(each)s END AS long) talk
CROSS JOIN LATERAL generate_series(1, talk.long) n
CROSS JOIN LATERAL (SELECT CASE WHEN n %% 2 = 0 THEN 'outbound' ELSE 'inbound' END AS direction,
    n %% 2 = 1 AND random() * %(blocked_one_in)s < 2 AS blocked) said
WHERE c.human LIKE '+1646%%' OR c.id = %(one)s;

INSERT INTO contactrules_decision (organization_id, identity_id, human, direction, subject, allowed, mode, revision,
    message_id, at)
SELECT organization_id, identity_id, human, 'inbound', 'message', NOT is_blocked, 'blacklist', 0, id, created_at
FROM imessage_message WHERE direction = 'inbound';

UPDATE imessage_conversation c SET next_position = m.next, visible_total = m.visible, blocked_total = m.blocked,
    visible_last_id = m.visible_last, visible_last_at = m.visible_at, blocked_last_id = m.blocked_last,
    blocked_last_at = m.blocked_at, last_at = m.last_at,
    waiting_since = CASE WHEN random() < 0.02 THEN m.visible_at END
FROM (SELECT conversation_id, max(position) + 1 AS next, max(created_at) AS last_at,
          count(*) FILTER (WHERE NOT is_blocked) AS visible, count(*) FILTER (WHERE is_blocked) AS blocked,
          (array_agg(id ORDER BY position DESC) FILTER (WHERE NOT is_blocked))[1] AS visible_last,
          max(created_at) FILTER (WHERE NOT is_blocked) AS visible_at,
          (array_agg(id ORDER BY position DESC) FILTER (WHERE is_blocked))[1] AS blocked_last,
          max(created_at) FILTER (WHERE is_blocked) AS blocked_at
      FROM imessage_message GROUP BY 1) m
WHERE m.conversation_id = c.id;
