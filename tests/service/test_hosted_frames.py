"""gRPC frames, deadlines and statuses, as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.transports.grpc_frames import FrameError, first_message, framed, status_headers, timeout_s, unframed


@given(st.binary(max_size=300))
def test_a_message_comes_back_as_it_went(message: bytes) -> None:
    assert unframed(framed(message), 300) == message
    assert first_message(framed(message) + b"rest", 300) == (message, b"rest")


@given(st.binary(max_size=64), st.integers(0, 70))
def test_what_is_cut_is_no_message(message: bytes, at: int) -> None:
    body = framed(message)[:at]
    if at >= len(message) + 5:
        assert unframed(body, 64) == message
        return
    with pytest.raises(FrameError):
        unframed(body, 64)
    assert first_message(body, 64) == (None, body)


BROKEN = {
    "nothing": (b"", False),
    "more than the message": (framed(b"ab") + b"c", False),
    "two messages": (framed(b"ab") + framed(b"cd"), False),
    "another flag": (b"\x02\0\0\0\1a", False),
    "compressed": (b"\1\0\0\0\1a", True),
    "a length that nothing has": (b"\0\xff\xff\xff\xffabc", False),
}


@pytest.mark.parametrize("sentence", BROKEN)
def test_a_body_of_another_form_is_no_message(sentence: str) -> None:
    body, compressed = BROKEN[sentence]
    with pytest.raises(FrameError) as caught:
        unframed(body, 1000)
    assert caught.value.compressed is compressed


def test_of_a_message_that_is_too_long_enough_is_given_to_see_it() -> None:
    assert len(unframed(framed(b"x" * 100)[: 5 + 11], 10)) == 11
    assert len(unframed(framed(b"x" * 100), 10)) == 100
    with pytest.raises(FrameError):
        first_message(framed(b"x" * 11), 10)


TIMEOUTS = {
    b"1H": 3600.0,
    b"2M": 120.0,
    b"3S": 3.0,
    b"250m": 0.25,
    b"99999999u": 99.999999,
    b"5n": 5e-9,
    b"0S": 0.0,
    b"": None,
    b"S": None,
    b"5": None,
    b"5s": None,
    b"-5S": None,
    b"5.0S": None,
    b"123456789S": None,
    b" 5S": None,
}


@pytest.mark.parametrize("value", TIMEOUTS)
def test_timeouts(value: bytes) -> None:
    assert timeout_s(value) == pytest.approx(TIMEOUTS[value])


def test_the_text_of_a_status_is_escaped() -> None:
    assert status_headers(0, "") == [(b"grpc-status", b"0")]
    assert status_headers(3, "a b\r\n%é")[1] == (b"grpc-message", b"a b%0D%0A%25%C3%A9")
