"""What every page of Django admin has in common: it shows rows and changes none of them.

Whatever an operator may do there is an action that calls the operation, so that every rule and event holds.
"""

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest
from django.utils.functional import cached_property

from core.errors import DomainError

# Columns that hold a secret, sealed, hashed or as a digest: shown nowhere.
_SECRET = ("sealed_", "secret_", "password")

COUNTED_AT_MOST = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages over the newest rows of a big table, counted no further than `COUNTED_AT_MOST`.

    A full count reads the whole table; what lies deeper is found by an id, a filter or the console.
    """

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        counted: int = rows.order_by()[:COUNTED_AT_MOST].count()
        return counted


class _ReadOnly:
    """No adding, no changing, no deleting, on pages and on the tables inside them."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(_ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """A list and a page per row, with all its columns but secrets."""

    # Ids by which the search box finds rows, besides the words of `search_fields`.
    id_fields: tuple[str, ...] = ("id",)
    # Shown on a row's page below its columns: names of methods here.
    derived_fields: tuple[str, ...] = ()

    list_per_page = 50
    show_full_result_count = False
    view_on_site = False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        columns = [field for field in self.opts.concrete_fields if not isinstance(field, models.BinaryField)]
        return [field.name for field in columns if not field.name.startswith(_SECRET)] + [*self.derived_fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.get_fields(request, obj)

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """An id finds its rows through an index; anything else is looked for in `search_fields`."""
        key = _uuid(search_term)
        if key is None or not self.id_fields:
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(
            functools.reduce(operator.or_, [models.Q(**{name: key}) for name in self.id_fields])
        ), False

    def carry_out(self, request: HttpRequest, rows: Iterable[Any], deed: Callable[[Any], Any], *, done: str) -> None:
        """Call an operation for each of the chosen rows; what it refuses is said beside the row's name."""
        count = 0
        for row in rows:
            try:
                deed(row)
            except DomainError as refused:
                self.message_user(request, f"{row}: {refused.message}", messages.ERROR)
            else:
                count += 1
        if count:
            self.message_user(request, f"{done}: {count}.", messages.SUCCESS)


class BigTableAdmin(ReadOnlyAdmin):
    """For tables that grow with every text: newest first by key, never counted to the end.

    Keys rise with time, so this order needs no index of its own; a date hierarchy would read the whole table.
    """

    paginator = BoundedPaginator
    ordering = ("-pk",)
    # Sorting by another column, or counting what each filter would leave, reads the whole table too.
    sortable_by = ()
    show_facets = admin.ShowFacets.NEVER


class ReadOnlyInline(_ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    """Rows of another table on the page of the row they belong to."""

    extra = 0
    show_change_link = False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields or ()


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None
