"""Which reading a person comes to, and whether it may be changed."""

from marrowscope.review.access.identity import Identity
from marrowscope.review.access.users import Role
from marrowscope.review.edits import Appoint, Finish
from marrowscope.review.pages.reading import locked_for, reading_for
from marrowscope.review.texts import Texts

ANN, BOB, EVE = (Identity(name, Role.REVIEWER) for name in ("ann", "bob", "eve"))


def comes_to(workstation, identity):
    with workstation.case(1) as state:
        reading = reading_for(state, identity)
        return reading, locked_for(state, reading, identity, Texts())


def test_observers_come_to_their_own_reading_until_all_have_finished(workstation):
    assert comes_to(workstation, ANN) == ("main", "")
    workstation.edit(1, "eve", "main", Appoint(observers=("ann", "bob")))
    assert comes_to(workstation, ANN) == ("blind:ann", "")
    assert comes_to(workstation, EVE)[0] == "main"
    assert "ann & bob" in comes_to(workstation, EVE)[1]
    workstation.edit(1, "ann", "blind:ann", Finish())
    assert comes_to(workstation, ANN)[0] == "blind:ann"
    assert "finished" in comes_to(workstation, ANN)[1]
    workstation.edit(1, "bob", "blind:bob", Finish())
    assert {comes_to(workstation, one) for one in (ANN, BOB, EVE)} == {("adjudicated", "")}


def test_a_reader_may_only_look(workstation):
    assert "reader" in comes_to(workstation, Identity("rob", Role.READER))[1]
