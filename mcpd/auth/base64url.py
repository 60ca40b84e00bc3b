"""Base64 with the URL alphabet (RFC 4648, section 5), in one spelling alone. Pure.

The standard decoder skips foreign characters and ignores bits that are left over, so that one
value has many spellings: what is refused or remembered under one of them is let in under another.
"""

import base64
import binascii


def encode(data: bytes) -> str:
    """The text, padded to whole quartets."""
    return base64.urlsafe_b64encode(data).decode("ascii")


def decode(text: str, *, padded: bool) -> bytes:
    """The bytes that ``encode`` makes this text of.

    Args:
        padded: the text has the padding; else it must not have any (RFC 7515, section 2).

    Raises:
        ValueError: ``encode`` makes no such text.
    """
    whole = text if padded else text + "=" * (-len(text) % 4)
    try:
        data = base64.b64decode(whole.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("no Base64 with the URL alphabet") from error
    if encode(data) != whole or (not padded and text.endswith("=")):
        raise ValueError("not the spelling that an encoder makes")
    return data
