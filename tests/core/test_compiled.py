"""A query compiled once gives what its queryset gives, whatever it is asked for."""

from uuid import UUID

import pytest

from accounts.models import Identity, Organization
from core.compiled import Compiled
from tests import make

pytestmark = pytest.mark.django_db


def identities(key: UUID) -> "Compiled[Identity]":
    return Identity.objects.select_related("organization").filter(pk=key)


def test_it_gives_whole_rows_with_what_they_select_along(
    identity: Identity, charlies_identity: Identity, django_assert_num_queries: object
) -> None:
    compiled = Compiled(identities, key=UUID(int=1))
    for wanted in (identity, charlies_identity, identity):
        found = compiled.first(key=wanted.pk)
        assert found == wanted
        assert vars(found).keys() == vars(identities(wanted.pk).get()).keys()
        with django_assert_num_queries(0):  # type: ignore[operator]
            assert found.organization.name == wanted.organization.name
        found.display_name = "changed"
        found.save(update_fields=["display_name"])


def test_it_gives_tuples_of_values_and_none() -> None:
    compiled = Compiled(lambda name: Organization.objects.filter(name=name).values_list("name")[:1], name="sample")
    make.make_organization("Here")
    assert compiled.first(name="Here") == ("Here",)
    assert compiled.first(name="sample") is None


def test_a_value_that_has_no_place_is_refused() -> None:
    compiled = Compiled(lambda name: Organization.objects.all(), name="sample")
    with pytest.raises(RuntimeError, match="no place for name"):
        compiled.first(name="x")
