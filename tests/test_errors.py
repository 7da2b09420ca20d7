from __future__ import annotations

import pickle

import pytest

from brainad.errors import BrainadError, DataError, ResourceError, UsageError


def test_the_text_names_what_where_and_fix() -> None:
    error = DataError("4 files, 1 expected", "case a", "remove three")
    assert str(error) == "4 files, 1 expected\n  where  case a\n  fix    remove three"


def test_parts_that_are_not_known_leave_no_line() -> None:
    assert str(UsageError("no cases")) == "no cases"
    assert str(UsageError("no cases", fix="add some")) == "no cases\n  fix    add some"


@pytest.mark.parametrize("kind", [UsageError, DataError, ResourceError])
def test_every_kind_belongs_to_the_family_and_survives_pickling(kind: type[BrainadError]) -> None:
    error = kind("what", "where", "fix")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert isinstance(error, BrainadError)
    assert type(copy) is kind
    assert (copy.what, copy.where, copy.fix) == ("what", "where", "fix")
