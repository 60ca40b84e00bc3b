"""What must happen to sessions in one step, in Lua. Pure text. Each other
script stands beside its caller.

Keys, all behind the prefix P:
    P:s:ID              record of a session (JSON); expires with it
    P:activity          sorted set: session → last activity
    P:ids               sorted set of equal scores: sessions in the order of their ids
    P:unbound           sorted set: sessions without a principal → created
    P:i:ID              sorted set: streams of a session that are not finished → when begun
    P:f:ID, P:u:ID      sorted sets: those that are, read and unread → when they ended
    P:m:ID:STREAM       hash: owner, call, last, bytes, finished; follower, follows_at, reached
    P:e:ID:STREAM       stream: 0-NUMBER → message
    P:q:ID:ASKER        hash: question → answer
    P:t:ID, P:w:TOPIC   sets: topics of a session, sessions of a topic
    P:k:TASK, P:l:TASK  record of a task and commands to its process; P:o:OWNER: an owner's tasks
    P:p:PROCESS         a process that lives; expires when it gives no sign of life

Channels: P:signals to all processes; P:to:PROCESS shows that the process lives.
"""

from mcpd.sessions.redis.connection import Script

_DROP = """
local function drop(P, id)
  local there = redis.call('DEL', P..':s:'..id)
  redis.call('ZREM', P..':activity', id)
  redis.call('ZREM', P..':ids', id)
  redis.call('ZREM', P..':unbound', id)
  redis.call('DEL', P..':m:'..id..':session', P..':e:'..id..':session')
  for _, index in ipairs({P..':i:'..id, P..':f:'..id, P..':u:'..id}) do
    for _, stream in ipairs(redis.call('ZRANGE', index, 0, -1)) do
      redis.call('DEL', P..':m:'..id..':'..stream, P..':e:'..id..':'..stream)
    end
    redis.call('DEL', index)
  end
  for _, topic in ipairs(redis.call('SMEMBERS', P..':t:'..id)) do
    redis.call('SREM', P..':w:'..topic, id)
  end
  redis.call('DEL', P..':t:'..id)
  return there
end
"""

# P, id, record, created, activity, unbound?, max_unbound, ttl → ids of dropped sessions
CREATE = Script(
    _DROP
    + """
local P, id = ARGV[1], ARGV[2]
redis.call('SET', P..':s:'..id, ARGV[3], 'EX', ARGV[8])
redis.call('ZADD', P..':activity', ARGV[5], id)
redis.call('ZADD', P..':ids', 0, id)
local dropped = {}
if ARGV[6] == '1' then
  redis.call('ZADD', P..':unbound', ARGV[4], id)
  local surplus = redis.call('ZCARD', P..':unbound') - tonumber(ARGV[7])
  if surplus > 0 then
    for _, old in ipairs(redis.call('ZRANGE', P..':unbound', 0, surplus - 1)) do
      if drop(P, old) == 1 then dropped[#dropped + 1] = old end
    end
  end
end
return dropped
"""
)

# P, id, old, new, bound? → 1: done; 0: it is another one now
REPLACE = Script(
    """
local key = ARGV[1]..':s:'..ARGV[2]
if redis.call('GET', key) ~= ARGV[3] then return 0 end
redis.call('SET', key, ARGV[4], 'KEEPTTL')
if ARGV[5] == '1' then redis.call('ZREM', ARGV[1]..':unbound', ARGV[2]) end
return 1
"""
)

# P, id… → how many were there
DROP = Script(
    _DROP
    + """
local there = 0
for place = 2, #ARGV do there = there + drop(ARGV[1], ARGV[place]) end
return there
"""
)

# P, cutoff, limit → ids that were dropped
EXPIRE = Script(
    _DROP
    + """
local P = ARGV[1]
local ids = redis.call('ZRANGEBYSCORE', P..':activity', '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])
for _, id in ipairs(ids) do drop(P, id) end
return ids
"""
)

# P, ttl, (id, activity)…
TOUCH = Script(
    """
local P, ttl = ARGV[1], ARGV[2]
for place = 3, #ARGV, 2 do
  local id = ARGV[place]
  if redis.call('EXPIRE', P..':s:'..id, ttl) == 1 then
    redis.call('ZADD', P..':activity', 'GT', ARGV[place + 1], id)
    redis.call('EXPIRE', P..':m:'..id..':session', ttl)
    redis.call('EXPIRE', P..':e:'..id..':session', ttl)
  end
end
"""
)
