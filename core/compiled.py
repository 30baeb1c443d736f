"""Querysets of the hottest paths, compiled once: making the SQL costs Django more than PostgreSQL takes for it."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from django.db import connection
from django.db.models import QuerySet
from django.db.models.query import ModelIterable, get_related_populators

Row = TypeVar("Row")


class Compiled(Generic[Row]):
    """A queryset asked again and again with other values.

    `build` makes it from named values; `samples` are values to compile it with, each unlike every other and unlike
    every constant of the query. What `build` decides by a value is decided by its sample: make one of these for each
    case. The rows are what the queryset gives: models with what it selects along, or tuples of `values_list`.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, Row]], **samples: Any) -> None:
        self._build = build
        self._samples = samples
        self._plan: _Plan | None = None

    def first(self, **values: Any) -> Row | None:
        """The first row, or None. The queryset says itself how many rows to fetch and in which order."""
        return next(iter(self.all(**values)), None)

    def all(self, **values: Any) -> list[Row]:
        """Every row."""
        if self._plan is None:
            self._plan = _Plan(self._build(**self._samples), self._samples)
        return cast(list[Row], self._plan.rows(values))


class _Plan:
    """The SQL, where the values go, and how a row becomes an object; as Django's ModelIterable does it."""

    def __init__(self, rows: QuerySet[Any, Any], samples: dict[str, Any]) -> None:
        self._compiler = rows.query.get_compiler(rows.db)
        self._sql, params = self._compiler.as_sql()
        self._slots = [_slot(param, samples) for param in params]
        if missing := samples.keys() - {name for name, _ in self._slots}:
            raise RuntimeError(f"The compiled query has no place for {', '.join(sorted(missing))}.")
        select: Any = self._compiler.select
        self._converters = self._compiler.get_converters([column[0] for column in select])
        self._model: Any = None
        if rows._iterable_class is ModelIterable:
            info: Any = self._compiler.klass_info
            start, end = info["select_fields"][0], info["select_fields"][-1] + 1
            self._model, self._columns = info["model"], slice(start, end)
            self._names = [column[0].target.attname for column in select[start:end]]
            self._related = get_related_populators(info, select, rows.db)  # type: ignore[call-arg]  # of Django 6

    def rows(self, values: dict[str, Any]) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(self._sql, [values[name] if name else constant for name, constant in self._slots])
            rows: list[Any] = cursor.fetchall()
        if self._converters:
            rows = list(self._compiler.apply_converters(rows, self._converters))
        return [self._object(row) for row in rows] if self._model else rows

    def _object(self, row: Any) -> Any:
        made = self._model.from_db(connection.alias, self._names, row[self._columns])
        for related in self._related:
            related.populate(row, made)
        return made


def _slot(param: Any, samples: dict[str, Any]) -> tuple[str, Any]:
    """The name of the value that goes where a sample stands, or no name and the constant."""
    for name, sample in samples.items():
        if type(param) is type(sample) and param == sample:
            return name, None
    return "", param
