"""What counts as the same answer."""

import pytest

from mcpd.replay.matching import Bindings, Unbound, differences, is_same_kind

SAME = [
    ({"a": 1}, {"a": 1, "more": 2}),
    ({"a": "<any>"}, {"a": [1]}),
    ({"a": "<optional>"}, {}),
    ({"at": "<time>"}, {"at": "2026-01-01T00:00:00Z"}),
    ({"isError": False}, {}),
    ({"resultType": "complete"}, {}),
    (["..."], []),
    ([{"name": "b"}, "..."], [{"name": "a"}, {"name": "b", "x": 1}]),
    ([1, 2], [1, 2]),
    (1, 1.0),
    ({"id": "<ask-1>", "again": "<ask-1>"}, {"id": "x", "again": "x"}),
]
OTHER = [
    ({"a": 1}, {"a": 2}, "a is 2, not 1"),
    ({"a": 1}, {}, "a is missing"),
    ({"a": "<any>"}, {}, "a is missing"),
    ({"at": "<time>"}, {"at": "soon"}, "at is 'soon'"),
    ({"at": "<time>"}, {"at": 5}, "at is 5"),
    ({"at": "<time>"}, {"at": None}, "at is None"),
    ({"id": "<ask-1>"}, {"id": None}, "id is None"),
    ({"id": "<ask-1>", "again": "<ask-1>"}, {"id": 7, "again": "7"}, "again is '7'"),
    ({"a": {"b": True}}, {"a": {"b": 1}}, "a.b is 1, not True"),
    ({"isError": True}, {}, "isError is missing"),
    ({"result": "<any>"}, {"error": {}}, "result is missing"),
    ([{"name": "c"}, "..."], [{"name": "a"}], "has no {'name': 'c'}"),
    ([1, 2], [1], "has 1 items, not 2"),
    ({"a": []}, {"a": {}}, "not an array"),
    ({"a": {}}, {"a": []}, "not an object"),
    ({"id": "<ask-1>", "again": "<ask-1>"}, {"id": "x", "again": "y"}, "again is 'y'"),
]


@pytest.mark.parametrize(("expected", "got"), SAME)
def test_what_is_the_same(expected, got):
    assert differences(expected, got, Bindings()) == []


@pytest.mark.parametrize(("expected", "got", "told"), OTHER)
def test_these_differences_count(expected, got, told):
    (difference,) = differences(expected, got, Bindings())
    assert told in difference


def test_an_item_that_does_not_fit_binds_nothing():
    bindings = Bindings()
    expected = [{"id": "<task-1>", "name": "b"}, "..."]
    assert differences(expected, [{"id": "x", "name": "a"}], bindings) != []
    assert bindings.values == {}


def test_what_the_server_made_up_is_sent_back():
    bindings = Bindings({"<token>": "t"})
    differences({"id": "<ask-1>"}, {"id": "q7"}, bindings)
    assert bindings.fill({"id": "<ask-1>", "n": [1, "Bearer <token>"]}) == {
        "id": "q7",
        "n": [1, "Bearer t"],
    }
    with pytest.raises(Unbound, match="<session-1>"):
        bindings.fill_text("<session-1>")


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        ({"id": 1, "result": {}}, {"id": 1, "error": {}}, True),
        ({"id": 1, "result": {}}, {"id": 2, "result": {}}, False),
        ({"method": "a"}, {"method": "a", "params": {}}, True),
        ({"method": "a"}, {"method": "a", "id": 1}, False),
        ({"method": "a"}, {"id": 1, "result": {}}, False),
        ({"id": 1, "result": {}}, None, False),
    ],
)
def test_which_message_an_expectation_is_about(expected, got, same):
    assert is_same_kind(expected, got, Bindings()) is same
