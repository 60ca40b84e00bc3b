"""Answers as bytes."""

import pytest

from mcpd.errors import BadRequest, Forbidden, Unauthorized
from mcpd.http.answers import error_response, response_bytes, stream_head_bytes
from mcpd.http.messages import Headers, Response
from mcpd.http.sse import event


def test_every_answer_has_a_date_and_a_length():
    data = response_bytes(Response(200, b"abc"), close=False, head_only=False, http_10=False)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 3" in head
    assert b"date: " in head
    assert body == b"abc"


def test_204_has_no_length():
    """RFC 9110, section 8.6"""
    data = response_bytes(Response(204), close=True, head_only=False, http_10=False)
    assert b"content-length" not in data
    assert data.endswith(b"connection: close\r\n\r\n")


@pytest.mark.parametrize("value", [b"a\r\nX: y", b"a\nb", b"a\0"])
def test_a_header_that_would_split_the_response_is_a_bug(value):
    with pytest.raises(ValueError, match="split"):
        response_bytes(
            Response(200, headers=((b"x", value),)), close=False, head_only=False, http_10=False
        )
    with pytest.raises(ValueError, match="split"):
        stream_head_bytes(((b"x", value),), close=False, http_10=False)


def test_a_problem_names_what_why_and_what_next():
    response = error_response(Forbidden("No.", fix="Do this.", received="x", data={"more": 1}))
    assert response.status == 403
    assert response.body == (
        b'{"error":"forbidden","error_description":"No.","received":"x","fix":"Do this.","more":1}'
    )
    assert error_response(Unauthorized("Who?")).body == (
        b'{"error":"invalid_token","error_description":"Who?"}'
    )


def test_a_repeated_header_is_not_taken_for_one():
    headers = Headers([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
    with pytest.raises(BadRequest):
        headers.one(b"a")
    assert (headers.one(b"b"), headers.joined(b"a"), headers.one(b"c")) == ("2", "1, 3", None)


def test_events_are_encoded():
    assert event(b"{}", event_id="7") == b"event: message\nid: 7\ndata: {}\n\n"
    assert event(b"{}") == b"event: message\ndata: {}\n\n"
