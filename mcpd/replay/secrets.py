"""What is a secret: by its name, by its shape, and in every spelling of a known value. Pure.

One that is missed is published; one too many costs an expectation its strictness.
"""

import base64
import html
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

# Names without case, dashes and underscores: they are written in every way. Plurals are the same.
_NAMES = frozenset({"code", "codeverifier", "codechallenge", "state", "jwt", "dpop"})
_ENDS = ("token", "secret", "password", "passwd", "authorization", "assertion", "cookie",
    "credential", "jwt", "apikey", "privatekey", "secretkey", "accesskey", "subscriptionkey",
    "signingkey", "masterkey", "encryptionkey", "passphrase", "passcode", "bearer",
    "signature")  # fmt: skip
# The last word of a name, where the same letters end other words: spin, author, monkey.
_LAST_WORDS = frozenset({"pin", "auth", "key", "pwd", "pass", "otp", "sig"})
_WEAK = frozenset({"pin", "auth", "key", "pass", "otp", "sig", "signature"})
_NO_SECRETS = frozenset({"progresstoken", "publickey"})
_NOT_BEFORE_KEY = frozenset(("public", "primary", "foreign", "sort", "partition", "cache",
    "idempotency", "unique", "row", "group", "index", "lookup", "dedup", "hash", "object", "map",
    "range", "search", "event", "routing"))  # fmt: skip
_COUNTS = frozenset({"max", "min", "total", "input", "output", "prompt", "completion", "used"})
_NUMBERS = frozenset({"password", "passwd", "passcode", "pwd", "pin", "otp", "cvv", "cvc"})
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

HIDDEN = "<secret>"
_JWT = re.compile(  # the look ahead: a text without dots is looked through once
    r"(?<![\w-])(?=[\w-]+\.[\w-]+\.)([\w-]*?)eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
)
_CREDENTIALS = re.compile(r"""\b(Bearer|Basic) (?!<|\w+=")[^\s"'\\,]{12,}""", re.I)
_USER = re.compile(r"//[^/\s@\"']+@")
_PEM = re.compile(  # to the end of the text, if it is cut off
    r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.DOTALL
)
_SHAPES = re.compile(  # as their issuers document them
    r"(?<![A-Za-z0-9])(?:"
    r"gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{20,}|glpat-[\w-]{16,}"  # forges
    r"|sk-(?=[\w-]{0,40}\d)[\w-]{16,}|[rsp]k_(?:live|test)_\w{10,}"  # models, payments
    r"|whsec_\w{16,}|xox[a-z]-[\w-]{10,}|xapp-[\w-]{10,}|SG\.[\w-]{16,}\.[\w-]{16,}"  # mail
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{30,}|ya29\.[\w-]{20,}"  # clouds
    r"|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{20,}|hf_[A-Za-z0-9]{20,}|dop_v1_[a-f0-9]{32,}"
    r"|mcpd_[0-9A-Za-z]{12}_[0-9A-Za-z]{16,}"  # ours, cut off or not
    r"|shpat_[a-f0-9]{16,}|AGE-SECRET-KEY-1[A-Z0-9]{20,})"
)
# Bounded, and not begun again behind each dash, so that no text costs more than its length
_NAME = r"(?<!\w-)([A-Za-z][\w-]{0,255})"
_VALUE = re.compile(r"<[\w-]+>|[^&\s\"'<>,;]+")
_TO_QUOTE, _TO_APOSTROPHE = re.compile(r'[^"\\]+'), re.compile(r"[^']+")
_SCHEME = r"(?!(?:Bearer|Basic|Digest|DPoP)\b)"  # it is no secret; what is behind it was hidden
_PAIRS = (  # NAME=VALUE, NAME: VALUE and "NAME": "VALUE", wherever they stand
    (re.compile(rf"(?<!\w){_NAME}="), re.compile(r"""<[\w-]+>|[^&\s"'<>]+""")),
    (re.compile(rf"(?<![\w/]){_NAME}(?::[ \t]+|[ \t]+=[ \t]*){_SCHEME}"), _VALUE),
    (re.compile(rf'(?<!\w){_NAME}\\*"\s*[:=]\s*\\*"'), _TO_QUOTE),
    (re.compile(rf'(?<!\w){_NAME}\s*[:=]\s*\\*"'), _TO_QUOTE),
    (re.compile(rf"(?<!\w){_NAME}'?\s*[:=]\s*'"), _TO_APOSTROPHE),
    (re.compile(rf"(?<!\S)--?{_NAME} +"), _VALUE),
    (re.compile(rf"<{_NAME}(?:\s[^<>]*)?>"), re.compile(r"[^<>]+(?=</)")),
)
_COOKIES = re.compile(r"""(?i)\b((?:set-)?cookie:[ \t]*)[^\r\n"'<]+""")
MIN_SPELT = 6  # characters: shorter ones would be found in every text
_MIN_CORE = 8  # of Base64: so much of it is of the value alone


def is_secret(name: str) -> bool:
    """Whether what goes by this name must not be written."""
    words = [word.lower() for word in _WORDS.findall(name)]
    plain = _plain(name)
    if plain in _NO_SECRETS or not words:
        return False
    before, last = words[-2] if len(words) > 1 else "", _singular(words[-1])
    if words[-1] == "tokens" and before in _COUNTS:
        return False
    if plain in _NAMES or plain.endswith(_ENDS):
        return True
    return last in _LAST_WORDS and not (last == "key" and before in _NOT_BEFORE_KEY)


def _plain(name: str) -> str:
    return _singular(name.lower().replace("-", "").replace("_", ""))


def _singular(word: str) -> str:
    return word if word.endswith("ss") else word.removesuffix("s")


def is_weak(name: str) -> bool:
    """Whether it is one of the names that other things go by as well: the key of a row."""
    words = [_singular(word.lower()) for word in _WORDS.findall(name)]
    return bool(words) and words[-1] in _WEAK and is_secret(name)


def holds_secrets(name: str) -> bool:
    """Whether everything in an object of this name is secret: ``tokens`` by their owners."""
    return is_secret(name) and not is_weak(name) and _plain(name) not in _NAMES


def is_number_of_secret(name: str) -> bool:
    """Whether a number of this name is secret. Other numbers go by secret names as well: codes,
    states, counts of tokens.
    """
    words = [_singular(word.lower()) for word in _WORDS.findall(name)]
    return bool(words) and (words[-1] in _NUMBERS or words[-1].endswith(("password", "passwd")))


def hide(text: str) -> str:
    """A text without what is a secret by its shape, or by the name beside it."""
    text = _PEM.sub(HIDDEN, _JWT.sub(r"\1<token>", text))
    text = _SHAPES.sub(HIDDEN, _USER.sub(f"//{HIDDEN}@", _CREDENTIALS.sub(r"\1 <token>", text)))
    text = _COOKIES.sub(rf"\1{HIDDEN}", text)
    for head, value in _PAIRS:
        text = _hide_values(text, head, value)
    return text


def _hide_values(text: str, head: re.Pattern[str], value: re.Pattern[str]) -> str:
    """A text without what stands behind the name of a secret. The value of another name is looked
    through like the rest: it may be a URL with a query.
    """
    parts, place = [], 0
    for found in head.finditer(text):
        if found.start() < place or not is_secret(found[1]):
            continue
        secret = value.match(text, found.end())
        if secret is not None and not secret[0].startswith("<made-"):
            parts += [text[place : found.end()], HIDDEN]
            place = secret.end()
    return "".join([*parts, text[place:]])


def spellings(value: str) -> Iterator[str]:
    """How a value may be written: as it is, in a URL, in JSON, in HTML, in hex and in Base64, alone
    or within something longer.
    """
    data = value.encode("utf-8", "surrogatepass")
    percent = quote(value, safe="", errors="replace")
    written = {value, percent, percent.lower(), quote_plus(value, errors="replace")}
    written |= {json.dumps(value)[1:-1], html.escape(value), data.hex(), data.hex().upper()}
    for offset, first in ((0, 0), (1, 2), (2, 3)):
        whole = (offset + len(data)) * 8 // 6  # characters that nothing behind the value changes
        core = base64.b64encode(bytes(offset) + data).decode("ascii")[first:whole]
        if len(core) >= _MIN_CORE:
            written |= {core, core.translate(str.maketrans("+/", "-_"))}
    yield from sorted((one for one in written if len(one) >= MIN_SPELT), key=len, reverse=True)
    if len(value) < MIN_SPELT:
        yield value
