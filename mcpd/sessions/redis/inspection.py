"""What is looked at when a connection was made: whether this Redis will do."""

import logging
import re
from typing import Any

from mcpd.sessions.redis.address import Address, Kind
from mcpd.sessions.redis.complaints import Complaints
from mcpd.sessions.redis.failures import (
    CLUSTER_NODE,
    MIN_VERSION,
    NO_CLUSTER,
    READ_ONLY,
    SENTINEL_GIVEN,
    Failure,
    Refused,
    not_allowed,
)
from mcpd.sessions.redis.keys import Keys
from mcpd.sessions.redis.lua import Run, Script
from mcpd.sessions.redis.node import BROKEN, Node

KEEPS_ALL = "noeviction"

# Every command that is sent, or called in a script, on a key that holds a plain value for a
# second: those that do not fit it change nothing.
_COMMANDS = (
    "get", "set", "incr", "exists", "ttl", "getrange", "setrange",
    "hget", "hset", "hsetnx", "hdel", "hmget", "hincrby", "hkeys", "hvals", "hlen",
    "zadd", "zrem", "zcard", "zrange", "zrangebyscore", "zrangebylex", "zscore",
    "zremrangebyscore", "zremrangebyrank", "zscan",
    "sadd", "srem", "smembers", "sismember", "scard", "sscan", "lrange", "rpush", "ltrim",
    "xadd", "xdel", "xlen", "xrange", "xrevrange", "time", "publish",
    "expire", "del",  # at last
)  # fmt: skip
_ARGUMENTS = {
    "get": (), "del": (), "exists": (), "ttl": (), "smembers": (), "zcard": (), "scard": (),
    "xlen": (), "incr": (), "hkeys": (), "hvals": (), "hlen": (),
    "set": ("1", "EX", "1"), "expire": ("1",), "getrange": ("0", "0"), "setrange": ("0", "1"),
    "hset": ("f", "1"), "hsetnx": ("f", "1"), "hincrby": ("f", "1"), "zadd": ("1", "m"),
    "zrange": ("0", "0"), "zrangebyscore": ("0", "0"), "zrangebylex": ("-", "+"),
    "zremrangebyscore": ("0", "0"), "zremrangebyrank": ("0", "0"), "zscan": ("0",),
    "sscan": ("0",), "lrange": ("0", "0"), "ltrim": ("0", "0"), "xadd": ("*", "f", "v"),
    "xdel": ("0-1",), "xrange": ("-", "+"), "xrevrange": ("+", "-"),
}  # fmt: skip

# KEYS: any; ARGV: channel, (name, number of arguments, arguments…)… → names that are refused
_MAY = Script(
    """
redis.pcall('SET', KEYS[1], '1', 'EX', 1)
local refused, place = {}, 2
while place <= #ARGV do
  local name, count = ARGV[place], tonumber(ARGV[place + 1])
  local command = {name, KEYS[1]}
  if name == 'time' then command = {name} end
  if name == 'publish' then command = {name, ARGV[1], ''} end
  for more = 1, count do command[#command + 1] = ARGV[place + 1 + more] end
  local said = redis.pcall(unpack(command))
  if type(said) == 'table' and said.err then
    local text = string.lower(said.err)
    for _, word in ipairs({'noperm', "can't run", 'acl failure', 'no permission', "can't access"})
    do
      if string.find(text, word, 1, true) then
        refused[#refused + 1] = name
        break
      end
    end
  end
  place = place + 2 + count
end
return refused
"""
)


async def inspect(node: Node, address: Address) -> None:
    """Whether a server is one that sessions can be kept in.

    Raises:
        Refused: it is not.
        RedisError, TimeoutError: that cannot be told.
    """
    told = _mapping(await node.get("HELLO"))
    mode, role = told.get(b"mode"), told.get(b"role")
    _check_version(_text(told.get(b"version", b"")))
    if mode == b"sentinel":
        raise Refused(SENTINEL_GIVEN)
    if mode == b"cluster" and address.kind is not Kind.CLUSTER:
        raise Refused(CLUSTER_NODE)
    if mode == b"standalone" and address.kind is Kind.CLUSTER:
        raise Refused(NO_CLUSTER)
    if role in (b"replica", b"slave"):
        raise Refused(READ_ONLY)
    if address.wait_replicas:
        await node.look_at_replicas()


def _check_version(text: str) -> None:
    found = re.match(r"(\d+)\.(\d+)", text)
    if found and (int(found[1]), int(found[2])) < MIN_VERSION:
        least = ".".join(map(str, MIN_VERSION))
        raise Refused(
            Failure(
                "version",
                f"that Redis is {text[:20]}, and {least} is the oldest that will do",
                f"Use Redis {least} or later, or Valkey.",
                passes=False,
            )
        )


def rights_key(keys: Keys, process: str) -> str:
    """A key that ``check_rights`` may use."""
    return f"{keys.process(process)}:may"


async def check_rights(node: Node, keys: Keys, key: str) -> None:
    """Whether the user may run every command that is needed.

    Args:
        key: of ``rights_key``; the node has it.

    Raises:
        Refused: some are not allowed; it says which.
    """
    arguments: list[str | int] = [keys.signals]
    for name in _COMMANDS:
        more = _ARGUMENTS.get(name, () if name in ("time", "publish") else ("m",))
        arguments += [name, len(more), *more]
    run = Run(_MAY, (key,), tuple(arguments))
    refused = await node.ask(run, with_text=True)
    if isinstance(refused, list) and refused:
        names = sorted(_text(name).upper() for name in refused)
        raise Refused(not_allowed(", ".join(names)))
    if isinstance(refused, Exception):
        raise refused
    await node.get("PUBSUB", "NUMSUB", keys.signals)
    await node.get("WAIT", 0, 1)


async def warn_of_eviction(node: Node, complaints: Complaints) -> None:
    """Say it where Redis may drop sessions to make room. A user who may not ask is not told."""
    try:
        told = _text(await node.get("INFO", "memory"))
    except BROKEN:
        return
    facts = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    policy = facts.get("maxmemory_policy", KEEPS_ALL)
    if int(facts.get("maxmemory", "0")) and policy != KEEPS_ALL:
        complaints.say(
            "eviction",
            f"Redis drops sessions when its memory is full: its maxmemory-policy is {policy}."
            " Set noeviction: then it refuses what is new, and keeps what it has.",
            level=logging.WARNING,
        )


def _mapping(told: Any) -> dict[Any, Any]:
    return told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=False))


def _text(told: Any) -> str:
    return told if isinstance(told, str) else bytes(told).decode("utf-8", "replace")
