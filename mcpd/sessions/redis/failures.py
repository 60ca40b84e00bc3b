"""What can be wrong with Redis, in words: what it is, and what to do.

Redis tells most of it in the text of an error; a script passes on what a command in it said.
"""

import re
from dataclasses import dataclass

from coredis import exceptions as said

MIN_VERSION = (6, 2)  # RESP3 is of 6.0; ZADD GT, XRANGE from "(" and the rules of channels of 6.2


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that is wrong.

    Attributes:
        kind: for logs; one line a minute each.
        message: public: neither the address nor a secret is in it.
        passes: it may pass by itself; otherwise a person must change something.
        takes_no_writes: Redis is there, and what it has can be read.
        ends_link: another connection is needed, perhaps to another server.
    """

    kind: str
    message: str
    fix: str
    passes: bool = True
    takes_no_writes: bool = False
    ends_link: bool = False


class Refused(Exception):
    """A connection that works is of no use."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


UNREACHABLE = Failure(
    "unreachable", "Redis cannot be reached", "Start it, or fix --store.", ends_link=True
)
SILENT = Failure(
    "silent",
    "Redis does not answer",
    "Look whether it runs, and whether a firewall is between.",
    ends_link=True,
)
READ_ONLY = Failure(
    "read-only",
    "that Redis is a read-only replica",
    "Give the address of the primary, or redis+sentinel://SENTINEL:26379/SERVICE, which finds it.",
    ends_link=True,
)
NOT_REDIS = Failure(
    "not Redis",
    "what listens there is no Redis",
    "Check the host and the port in --store.",
    passes=False,
)
TLS_PORT = Failure(
    "TLS port",
    "Redis speaks TLS on that port, and the URL does not",
    "Write rediss:// (with ?ssl_ca_certs=FILE for a CA of your own), or give its plain port.",
    passes=False,
)
PLAIN_PORT = Failure(
    "plain port",
    "Redis speaks no TLS on that port, and the URL asks for it",
    "Write redis:// if the network may carry it in the open, or give its TLS port (tls-port).",
    passes=False,
)
CLUSTER_NODE = Failure(
    "cluster node",
    "that Redis is a node of a cluster",
    "Write redis+cluster://HOST:PORT,… in --store.",
    passes=False,
)
NO_CLUSTER = Failure(
    "no cluster",
    "that Redis is not part of a cluster",
    "Write redis://HOST:PORT/0 in --store, or name nodes of the cluster.",
    passes=False,
)
HALF_CLUSTER = Failure(
    "half a cluster",
    "the cluster does not serve all of its hash slots",
    "Wait for its fail-over, or look at redis-cli --cluster check HOST:PORT.",
    ends_link=True,
)
SENTINEL_GIVEN = Failure(
    "a Sentinel",
    "that is a Sentinel, not a Redis",
    "Write redis+sentinel://HOST:26379,…/SERVICE in --store.",
    passes=False,
)
NOT_COPIED = Failure(
    "not copied",
    "no replica confirmed a write in time, so a fail-over might lose it",
    "Look at the replicas; ?wait_replicas=0 does without them.",
)

OUT_OF_MEMORY = Failure(
    "out of memory",
    "Redis is out of memory",
    "Raise its maxmemory, or let sessions end sooner (--session-timeout-s).",
    takes_no_writes=True,
)

# A word or the text of an error → what it is. The first that is found counts.
_SAID: tuple[tuple[str, Failure], ...] = (
    (r"\bOOM\b", OUT_OF_MEMORY),
    (
        r"\bMISCONF\b",
        Failure(
            "disk",
            "Redis cannot write to its disk and takes no writes",
            "Look at the log of Redis, and at the room on the disk and the permissions of its dir.",
            takes_no_writes=True,
        ),
    ),
    (
        r"\bNOREPLICAS\b",
        Failure(
            "too few replicas",
            "Redis has fewer replicas than its min-replicas-to-write and takes no writes",
            "Start its replicas.",
            takes_no_writes=True,
        ),
    ),
    (r"\bREADONLY\b|read only replica", READ_ONLY),
    (r"\bMASTERDOWN\b", READ_ONLY),
    (
        r"\bLOADING\b",
        Failure(
            "loading",
            "Redis is still loading its data",
            "Wait; its log says how far it is.",
            ends_link=True,
        ),
    ),
    (
        r"\bNOAUTH\b",
        Failure(
            "no password",
            "Redis wants a password, and the URL has none",
            "Write redis://USER:PASSWORD@HOST:PORT/0, in MCPD_STORE or the TOML file.",
            passes=False,
        ),
    ),
    (
        r"\bWRONGPASS\b|invalid password|invalid username",
        Failure(
            "wrong password",
            "Redis refuses the user or the password",
            "Check both in the URL, with special characters percent-encoded.",
            passes=False,
        ),
    ),
    (
        r"unknown command [`'\"]?SENTINEL",
        Failure(
            "no Sentinel",
            "what listens there is no Sentinel",
            "Sentinels listen on 26379 by default; for one Redis write redis://HOST:PORT/0.",
            passes=False,
        ),
    ),
    (
        r"DB index is out of range|invalid DB index|SELECT is not allowed in cluster",
        Failure(
            "database",
            "Redis does not have the database with the number in the URL",
            "Write another number (0 is always there; a cluster has no other), or raise its"
            " setting databases.",
            passes=False,
        ),
    ),
    (
        r"unknown command [`'\"]?HELLO|\bNOPROTO\b",
        Failure(
            "version",
            "that Redis is older than 6.0",
            "Use Redis 6.2 or later, or Valkey.",
            passes=False,
        ),
    ),
    (r"cluster support disabled", NO_CLUSTER),
    (r"\bCLUSTERDOWN\b", HALF_CLUSTER),
    (r"\bMOVED\b|\bCROSSSLOT\b", CLUSTER_NODE),
    (
        r"No such master",
        Failure(
            "service",
            "the Sentinels know no primary of that name",
            "Check the service in the URL: redis+sentinel://HOST:26379/SERVICE;"
            " redis-cli -p 26379 SENTINEL MASTERS lists them.",
            passes=False,
        ),
    ),
    (
        r"max number of clients",
        Failure(
            "too many clients",
            "Redis has as many clients as it may have",
            "Raise its maxclients.",
            ends_link=True,
        ),
    ),
    (
        r"\bDENIED\b.*protected mode",
        Failure(
            "protected mode",
            "Redis is in protected mode: it takes no connections from other hosts",
            "Set a password (requirepass) and bind, or protected-mode no.",
            passes=False,
        ),
    ),
    (
        r"\bBUSY\b",
        Failure("busy", "a script holds Redis up", "Look who runs it; SCRIPT KILL ends it."),
    ),
)
# The first word of an error is taken off where it has a class of its own.
_WORDS: dict[type[BaseException], str] = {
    said.BusyLoadingError: "LOADING",
    said.ReadOnlyError: "READONLY",
    said.AuthenticationRequiredError: "NOAUTH",
    said.AuthenticationFailureError: "WRONGPASS",
    said.AuthorizationError: "NOPERM",
    said.MovedError: "MOVED",
    said.ClusterDownError: "CLUSTERDOWN",
    said.ClusterCrossSlotError: "CROSSSLOT",
}
_NO_PERMISSION = re.compile(
    r"\bNOPERM\b|can't run this command|no permissions to|ACL failure|can't access at least one"
)
_NAMED_COMMAND = re.compile(r"(?:run|execute) the '([\w|-]+)'")


def of_reply(error: BaseException) -> Failure | None:
    """What an error of Redis means; None: nothing that is known."""
    return of_text(f"{_WORDS.get(type(error), '')} {error}")


def of_text(text: str) -> Failure | None:
    """The same of its text."""
    if _NO_PERMISSION.search(text):
        named = _NAMED_COMMAND.search(text)
        return not_allowed(named[1].upper() if named else _what(text))
    return next((failure for said_of_it, failure in _SAID if re.search(said_of_it, text)), None)


def not_allowed(what: str) -> Failure:
    """The rules of the ACL are too narrow."""
    return Failure(
        "not allowed",
        f"Redis does not allow the user of the URL {what}",
        "Give that user ~PREFIX:* &PREFIX:* +@all, or add what is missing; PREFIX is mcpd, or what"
        " ?prefix= says.",
        passes=False,
    )


def _what(text: str) -> str:
    if "channel" in text:
        return "its channels"
    return "the keys" if "key" in text else "a command"
