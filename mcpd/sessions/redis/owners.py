"""Which sessions a principal has, in Redis.

Key behind the prefix: ``n:OWNER`` a set of ids; those that are over are taken out when it is looked
at.
"""

import hashlib

from mcpd.sessions.record import Session
from mcpd.sessions.redis.connection import Script

KEEP_S = 30 * 24 * 3600  # without a new session of the principal; what is left then ends by itself

# index, id, ttl → how many
ADD_OWNED = Script(
    """
redis.call('SADD', ARGV[1], ARGV[2])
redis.call('EXPIRE', ARGV[1], ARGV[3])
return redis.call('SCARD', ARGV[1])
"""
)

# P, index, id, keep → ids beyond it, without activity for longest first
SURPLUS = Script(
    """
local P, alive = ARGV[1], {}
for _, id in ipairs(redis.call('SMEMBERS', ARGV[2])) do
  local at = redis.call('ZSCORE', P..':activity', id)
  if not at then
    redis.call('SREM', ARGV[2], id)
  elseif id ~= ARGV[3] then
    alive[#alive + 1] = {tonumber(at), id}
  end
end
table.sort(alive, function(a, b) return a[1] < b[1] end)
local surplus = {}
for place = 1, #alive + 1 - tonumber(ARGV[4]) do surplus[place] = alive[place][2] end
return surplus
"""
)


def owner_index(prefix: str, session: Session) -> str:
    """The key of the sessions of this one's principal."""
    owner = f"{session.issuer or ''} {session.subject or ''}"
    return f"{prefix}:n:{hashlib.sha256(owner.encode()).hexdigest()[:32]}"
