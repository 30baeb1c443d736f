"""Is this installation able to do its work? `/livez` (the process) is answered in `asgi`, before Django."""

from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import DatabaseError
from django.http import HttpRequest, JsonResponse

from console import live

# A worker's heartbeat comes every 5 seconds; after 20 it counts as gone (architecture.md, section 8).
WORKER_SILENT_AFTER = 20


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when the database answers, is migrated, the live listener listens and a worker is alive; else 503."""
    try:
        checks = {
            "database": _database_answers(),
            "migrations": _is_migrated(),
            "live": live.is_listening(),
            "worker": _worker_is_alive(),
        }
    except DatabaseError:
        checks = {"database": False}
    ready = all(checks.values())
    return JsonResponse({"ready": ready, "checks": checks}, status=200 if ready else 503)


def _database_answers() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


def _is_migrated() -> bool:
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


def _worker_is_alive() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM procrastinate_workers"
            " WHERE last_heartbeat > now() - make_interval(secs => %s))",
            [WORKER_SILENT_AFTER],
        )
        row = cursor.fetchone()
    return bool(row and row[0])
