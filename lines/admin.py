"""Lines, their routes and every exchange with their providers, for operators."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.admin import operator_of
from core.admin import BigTableAdmin, ReadOnlyAdmin, ReadOnlyInline
from lines import health
from lines.models import (
    AccountHealth,
    Alert,
    AlertNotice,
    Callback,
    Dispatch,
    Incident,
    IncidentHuman,
    Line,
    LineCap,
    LineEvent,
    LineHealth,
    LineHour,
    LineNote,
    LineReading,
    Move,
    MoveItem,
    ProviderAccount,
    Recipient,
    Route,
)

_SHOWN_OF_A_BODY = 20_000


@admin.register(ProviderAccount)
class ProviderAccountAdmin(ReadOnlyAdmin):
    list_display = ("name", "provider", "base_url", "callbacks_refused", "created_at")
    list_filter = ("provider",)
    search_fields = ("name",)
    ordering = ("name",)


@admin.register(Line)
class LineAdmin(ReadOnlyAdmin):
    list_display = ("address", "kind", "wanted", "seen", "seen_since", "proof_of_life_at", "last_given_at", "account")
    list_filter = ("kind", "wanted", "seen", "account")
    list_select_related = ("account",)
    search_fields = ("address",)
    id_fields = ("id", "account_id")
    ordering = ("kind", "address")
    derived_fields = ("holds_queue",)
    actions = ("put_into_service", "drain", "pause", "probe")

    @admin.display(boolean=True, description="Texts wait")
    def holds_queue(self, line: Line) -> bool:
        return line.holds_queue

    @admin.action(description="Put into service")
    def put_into_service(self, request: HttpRequest, rows: QuerySet[Line]) -> None:
        self._want(request, rows, Line.Wanted.IN_SERVICE)

    @admin.action(description="Drain: no new connections")
    def drain(self, request: HttpRequest, rows: QuerySet[Line]) -> None:
        self._want(request, rows, Line.Wanted.DRAINING)

    @admin.action(description="Pause: texts wait")
    def pause(self, request: HttpRequest, rows: QuerySet[Line]) -> None:
        self._want(request, rows, Line.Wanted.PAUSED)

    @admin.action(description="Look at it now")
    def probe(self, request: HttpRequest, rows: QuerySet[Line]) -> None:
        self.carry_out(request, rows.select_related("account"), health.probe, done="Looked at")

    def _want(self, request: HttpRequest, rows: QuerySet[Line], wanted: Line.Wanted) -> None:
        actor = operator_of(request)
        self.carry_out(
            request,
            rows,
            lambda line: health.want(actor, line, wanted=wanted, reason="Django admin"),
            done=f"Wanted {wanted.label.lower()}",
        )


@admin.register(Route)
class RouteAdmin(ReadOnlyAdmin):
    list_display = ("line", "human", "identity", "role", "held_until", "last_traffic_at", "created_at", "updated_at")
    list_filter = ("line_kind", "role", ("held_until", admin.EmptyFieldListFilter))
    list_select_related = ("line", "identity")
    search_fields = ("human", "line__address", "identity__handle")
    id_fields = ("id", "line_id", "identity_id")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)


@admin.register(Callback)
class CallbackAdmin(BigTableAdmin):
    list_display = ("id", "account", "event_key", "thread", "state", "late", "attempts", "received_at", "applied_at")
    list_filter = ("state", "late", ("received_at", admin.DateFieldListFilter))
    list_select_related = ("account",)
    search_fields = ("event_key__exact",)
    id_fields = ("account_id",)
    derived_fields = ("raw_body",)

    @admin.display(description="Body, as it came")
    def raw_body(self, callback: Callback) -> str:
        return bytes(callback.body)[:_SHOWN_OF_A_BODY].decode(errors="replace")


@admin.register(Dispatch)
class DispatchAdmin(BigTableAdmin):
    list_display = (
        "id",
        "kind",
        "line",
        "human",
        "attempt",
        "outcome",
        "error_code",
        "lookups",
        "claimed_at",
        "settled_at",
    )
    list_filter = ("kind", "outcome", ("claimed_at", admin.DateFieldListFilter))
    list_select_related = ("line",)
    search_fields = ("handle__exact",)
    id_fields = ("id", "order_id", "line_id")


@admin.register(LineEvent)
class LineEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "line", "column", "before", "after", "reason", "actor")
    list_filter = ("column",)
    list_select_related = ("line",)
    search_fields = ("line__address", "reason")
    id_fields = ("line_id",)
    date_hierarchy = "at"
    ordering = ("-id",)


@admin.register(LineHealth)
class LineHealthAdmin(ReadOnlyAdmin):
    list_display = ("line", "measured_at", "failed_probes", "troubled_at", "queue_depth", "muted_until")
    list_select_related = ("line",)
    search_fields = ("line__address",)
    id_fields = ("line_id",)
    ordering = ("line__address",)


@admin.register(AccountHealth)
class AccountHealthAdmin(ReadOnlyAdmin):
    list_display = ("account", "refusals")
    list_select_related = ("account",)
    search_fields = ("account__name",)
    id_fields = ("account_id",)
    ordering = ("account__name",)


@admin.register(LineReading)
class LineReadingAdmin(BigTableAdmin):
    list_display = ("at", "line", "state", "reasons", "reachable", "authenticated", "provider_state", "clock_offset")
    list_filter = ("state",)
    list_select_related = ("line",)
    id_fields = ("line_id",)


@admin.register(LineHour)
class LineHourAdmin(BigTableAdmin):
    list_display = ("hour", "line", "outbound", "accepted", "failed", "delivered", "downgraded", "inbound", "late")
    list_select_related = ("line",)
    id_fields = ("line_id",)


class IncidentHumanInline(ReadOnlyInline):
    model = IncidentHuman
    fields = ("human", "how", "texts", "first_at")


@admin.register(Incident)
class IncidentAdmin(ReadOnlyAdmin):
    list_display = ("line", "cause", "worst", "opened_at", "closed_at", "touched")
    list_filter = ("worst", ("closed_at", admin.EmptyFieldListFilter))
    list_select_related = ("line",)
    search_fields = ("line__address", "cause")
    id_fields = ("id", "line_id")
    ordering = ("-opened_at",)
    inlines = (IncidentHumanInline,)


@admin.register(IncidentHuman)
class IncidentHumanAdmin(BigTableAdmin):
    list_display = ("human", "incident", "how", "texts", "first_at")
    list_filter = ("how",)
    list_select_related = ("incident",)
    id_fields = ("incident_id",)


@admin.register(LineCap)
class LineCapAdmin(ReadOnlyAdmin):
    list_display = ("at", "line", "name", "value", "before", "reason", "actor", "until", "ended_at")
    list_filter = ("name", ("ended_at", admin.EmptyFieldListFilter))
    list_select_related = ("line",)
    search_fields = ("line__address", "reason")
    id_fields = ("line_id",)
    ordering = ("-id",)


@admin.register(LineNote)
class LineNoteAdmin(ReadOnlyAdmin):
    list_display = ("at", "line", "text", "actor")
    list_select_related = ("line",)
    search_fields = ("line__address", "text")
    id_fields = ("line_id", "incident_id")
    ordering = ("-id",)


class AlertNoticeInline(ReadOnlyInline):
    model = AlertNotice
    fields = ("channel", "is_closing", "state", "attempts", "problem", "at")


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ("words", "cause", "line", "account", "opened_at", "closed_at", "acknowledged_at", "muted_until")
    list_filter = ("cause", ("closed_at", admin.EmptyFieldListFilter))
    list_select_related = ("line", "account")
    search_fields = ("words",)
    id_fields = ("id", "line_id", "account_id")
    ordering = ("-opened_at",)
    inlines = (AlertNoticeInline,)


@admin.register(AlertNotice)
class AlertNoticeAdmin(BigTableAdmin):
    list_display = ("at", "alert", "channel", "is_closing", "state", "attempts", "problem")
    list_filter = ("channel", "state")
    list_select_related = ("alert",)
    id_fields = ("alert_id",)


@admin.register(Move)
class MoveAdmin(ReadOnlyAdmin):
    list_display = ("line", "state", "total", "moved", "skipped", "unplaced", "next_at", "created_at", "settled_at")
    list_filter = ("state",)
    list_select_related = ("line",)
    search_fields = ("line__address", "reason")
    id_fields = ("id", "line_id")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)


@admin.register(MoveItem)
class MoveItemAdmin(BigTableAdmin):
    list_display = ("move", "rank", "human", "identity", "state", "to_line", "at")
    list_filter = ("state",)
    list_select_related = ("move", "identity", "to_line")
    search_fields = ("human__exact",)
    id_fields = ("move_id", "opener_id")


@admin.register(Recipient)
class RecipientAdmin(ReadOnlyAdmin):
    list_display = ("human", "service", "looked_up_at", "downgrades", "sms_until", "updated_at")
    list_filter = ("service",)
    search_fields = ("human",)
    id_fields = ("id", "looked_up_on_id")
    ordering = ("-updated_at",)
