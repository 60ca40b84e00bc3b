"""A script, and functions that several scripts share, in Lua. Pure text.

A script names no key by itself: all come as KEYS, and those of one run share a slot.
"""

import hashlib
from typing import NamedTuple

from mcpd.sessions.streams import MAX_BYTES, MAX_EVENTS

Value = str | bytes | int | float


class Script:
    """A Lua script, sent once and then named by its SHA-1 (EVALSHA)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Run(NamedTuple):
    """One run of a script."""

    script: Script
    keys: tuple[str, ...]
    arguments: tuple[Value, ...] = ()

    def command(self, *, with_text: bool = False) -> tuple[Value, ...]:
        """As it is sent."""
        start = ("EVAL", self.script.text) if with_text else ("EVALSHA", self.script.sha)
        return (*start, len(self.keys), *self.keys, *self.arguments)


# Puts a message onto a session's own stream, and drops what is too much of a stream.
ADD = f"""
local function trim(m, e)
  local size = tonumber(redis.call('HGET', m, 'bytes') or 0)
  local count = redis.call('XLEN', e)
  while count > 1 and (count > {MAX_EVENTS} or size > {MAX_BYTES}) do
    local oldest = redis.call('XRANGE', e, '-', '+', 'COUNT', 1)[1]
    redis.call('XDEL', e, oldest[1])
    size = redis.call('HINCRBY', m, 'bytes', -#oldest[2][2])
    count = count - 1
  end
end
local function put(m, e, data, ttl)
  local now = redis.call('TIME')
  local number = '0-'..now[1]..string.format('%06d', now[2])
  local added = redis.pcall('XADD', e, number, 'd', data)
  if type(added) == 'table' then
    if not string.find(added.err, 'equal or smaller', 1, true) then return added end
    number = string.format('0-%.0f', tonumber(redis.call('HGET', m, 'last')) + 1)
    added = redis.call('XADD', e, number, 'd', data)
  end
  redis.call('HSET', m, 'last', string.sub(number, 3))
  redis.call('HINCRBY', m, 'bytes', #data)
  redis.call('EXPIRE', m, ttl)
  redis.call('EXPIRE', e, ttl)
  trim(m, e)
  return added
end
"""

# In the step that makes the change, so that no change goes untold; see ``bus``. A channel is no
# key: a cluster carries what is published to all of its nodes.
TELL = """
local function tell(channel, process, kind, id, name)
  redis.call('PUBLISH', channel, cjson.encode({process, {kind, id, name}}))
end
"""
