"""Connections, conversations and what is said in them, for operators."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.admin import operator_of
from core.admin import BigTableAdmin, ReadOnlyAdmin, ReadOnlyInline
from imessage.connecting import release
from imessage.models import (
    Connection,
    ConnectionMove,
    Conversation,
    DeliveryStep,
    MediaFile,
    Message,
    Part,
    Participant,
    Release,
    RouterMessage,
    Tapback,
    TapbackChange,
)


class PartInline(ReadOnlyInline):
    model = Part
    fields = ("index", "kind", "text", "url", "media", "content_type", "size")


class DeliveryStepInline(ReadOnlyInline):
    model = DeliveryStep
    fields = ("state", "detail", "at")
    ordering = ("id",)


class TapbackChangeInline(ReadOnlyInline):
    model = TapbackChange
    fields = ("action", "direction", "kind", "emoji", "part_index", "is_blocked", "at")
    ordering = ("id",)


@admin.register(Connection)
class ConnectionAdmin(ReadOnlyAdmin):
    list_display = ("human", "identity", "organization", "line", "status", "created_at", "released_at", "released_by")
    list_filter = ("status", "released_by")
    list_select_related = ("identity", "organization", "line")
    search_fields = ("human", "identity__handle", "line__address")
    id_fields = ("id", "identity_id", "organization_id", "line_id")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    actions = ("release",)

    @admin.action(description="Release: what the human writes stops reaching the agent")
    def release(self, request: HttpRequest, rows: QuerySet[Connection]) -> None:
        actor = operator_of(request)
        self.carry_out(
            request, rows.select_related("identity"), lambda connection: release(actor, connection), done="Released"
        )


@admin.register(ConnectionMove)
class ConnectionMoveAdmin(BigTableAdmin):
    list_display = ("at", "connection", "from_line", "to_line")
    list_select_related = ("connection", "from_line", "to_line")
    id_fields = ("connection_id", "move_id", "organization_id")


@admin.register(Participant)
class ParticipantAdmin(ReadOnlyAdmin):
    list_display = ("human", "name", "conversation", "joined_at", "left_at")
    list_select_related = ("conversation",)
    search_fields = ("human", "name")


@admin.register(Conversation)
class ConversationAdmin(ReadOnlyAdmin):
    list_display = (
        "human",
        "identity",
        "organization",
        "visible_total",
        "visible_unread",
        "blocked_total",
        "last_at",
        "next_attempt_at",
    )
    list_select_related = ("identity", "organization")
    list_filter = (("next_attempt_at", admin.EmptyFieldListFilter),)
    search_fields = ("human", "identity__handle")
    id_fields = ("id", "identity_id", "organization_id")
    date_hierarchy = "last_at"
    ordering = ("-last_at",)


@admin.register(RouterMessage)
class RouterMessageAdmin(BigTableAdmin):
    list_display = ("created_at", "line", "human", "direction", "command", "outcome", "status", "error_reason")
    list_filter = ("direction", "command", ("created_at", admin.DateFieldListFilter))
    list_select_related = ("line",)
    search_fields = ("human__exact",)
    id_fields = ("id", "line_id")


@admin.register(Message)
class MessageAdmin(BigTableAdmin):
    list_display = (
        "created_at",
        "direction",
        "human",
        "identity",
        "position",
        "status",
        "service",
        "is_blocked",
        "is_late",
        "error_reason",
    )
    list_filter = ("direction", "status", "service", "is_blocked", ("created_at", admin.DateFieldListFilter))
    list_select_related = ("identity",)
    # Through conversations: messages have no index that begins with a number.
    search_fields = ("conversation__human__exact",)
    id_fields = ("id", "conversation_id")
    inlines = (PartInline, DeliveryStepInline, TapbackChangeInline)


@admin.register(Release)
class ReleaseAdmin(BigTableAdmin):
    list_display = ("created_at", "human", "identity", "state", "allow", "count", "due_at", "settled_at", "refusal")
    list_filter = ("state", "allow", ("created_at", admin.DateFieldListFilter))
    list_select_related = ("identity",)
    search_fields = ("conversation__human__exact",)
    id_fields = ("id", "conversation_id", "message_id")


@admin.register(Part)
class PartAdmin(BigTableAdmin):
    list_display = ("id", "message", "index", "kind", "content_type", "size")
    list_filter = ("kind",)
    list_select_related = ("message",)
    search_fields = ("content_type__exact",)
    id_fields = ("id", "message_id")


@admin.register(Tapback)
class TapbackAdmin(BigTableAdmin):
    list_display = ("created_at", "direction", "human", "kind", "emoji", "part_index", "message", "ended_at")
    list_filter = ("direction", "kind", ("ended_at", admin.EmptyFieldListFilter))
    list_select_related = ("message",)
    search_fields = ("message__conversation__human__exact",)
    id_fields = ("id", "message_id")


@admin.register(TapbackChange)
class TapbackChangeAdmin(BigTableAdmin):
    list_display = ("at", "action", "direction", "kind", "emoji", "is_blocked", "message")
    list_filter = ("action", "direction", "is_blocked", ("at", admin.DateFieldListFilter))
    list_select_related = ("message",)
    search_fields = ("conversation__human__exact",)
    id_fields = ("message_id", "conversation_id")


@admin.register(DeliveryStep)
class DeliveryStepAdmin(BigTableAdmin):
    list_display = ("at", "state", "detail", "message")
    list_filter = (("at", admin.DateFieldListFilter),)
    list_select_related = ("message",)
    search_fields = ("message__conversation__human__exact",)
    id_fields = ("message_id",)


@admin.register(MediaFile)
class MediaFileAdmin(ReadOnlyAdmin):
    list_display = ("id", "organization", "source", "state", "content_type", "size", "created_at")
    list_filter = ("source", "state", "content_type")
    list_select_related = ("organization",)
    search_fields = ("sha256",)
    id_fields = ("id", "organization_id", "identity_id")
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
