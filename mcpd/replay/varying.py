"""What is another one the next time: moments, and ids that a server makes up. Pure."""

import re

_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d+)?"
_DATED = (
    rf"\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
    rf"|{_DAY}, \d\d {_MONTH} \d{{4}} {_CLOCK}(?: GMT| [+-]\d{{4}})?"  # RFC 9110, section 5.6.7
    rf"|{_DAY} {_MONTH} [ \d]\d {_CLOCK} \d{{4}}"  # asctime
    rf"|{_CLOCK}(?: ?[AP]M)?"
)
_NUMBER = r"\d{10}(?:\.\d+)?|\d{13}"  # seconds, or milliseconds, since 1970
MOMENT = re.compile(rf"(?<![\w:.])(?:{_DATED})(?![\w:])")
ANY_MOMENT = re.compile(rf"(?:{_DATED}|{_NUMBER})(?!\d)")
_EPOCH = re.compile(rf"(?<![\w.])(?:{_NUMBER})(?![\w.]\d|\w)")
UUID = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-f]{32})"
    r"(?![0-9A-Za-z])"
)
NEAR_S = 86_400.0  # from the recording: a number that far from it is no clock's
EARLIEST_S = 1_000_000_000  # of a number that may stand for a moment


def is_moment(value: object) -> bool:
    """Whether it is a moment: as a text, or as seconds or milliseconds since 1970."""
    if isinstance(value, str):
        return ANY_MOMENT.fullmatch(value) is not None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and float(str(value)) >= EARLIEST_S


def is_near(value: float, now: float) -> bool:
    """Whether a number is the time of a recording, in seconds or milliseconds since 1970. That time
    is 0 where it is not known.
    """
    return now > 0 and (abs(value - now) < NEAR_S or abs(value / 1000 - now) < NEAR_S)


def without_moments(text: str, now: float) -> str:
    """A text with ``<time>`` in the place of moments."""

    def show(number: re.Match[str]) -> str:
        return "<time>" if is_near(float(number[0]), now) else number[0]

    return _EPOCH.sub(show, MOMENT.sub("<time>", text))
