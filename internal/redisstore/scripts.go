package redisstore

import "github.com/go-redis/redis/v8"

// createScript stores a session unless one is there, which it returns.
//
// What could fail because something else lies under a name comes first, so that no session is half there.
//
//	keys: session, user's set, what is due. arguments: value, until when it is kept, id, score in the user's set, member of what is due, due (empty for never), now
var createScript = redis.NewScript(`
local there = redis.call('GET', KEYS[1])
if there then return there end
if tonumber(ARGV[2]) <= tonumber(ARGV[7]) then return false end
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
if ARGV[6] ~= '' then redis.call('ZADD', KEYS[3], ARGV[6], ARGV[5]) end
local left = redis.call('PTTL', KEYS[2])
if left < 0 or left < tonumber(ARGV[2]) - tonumber(ARGV[7]) then redis.call('PEXPIREAT', KEYS[2], ARGV[2]) end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('PEXPIREAT', KEYS[1], ARGV[2])
return false
`)

// touchScript touches sessions.
//
//	keys: sessions. arguments: when each was touched
var touchScript = redis.NewScript(`
local out = {}
for i, key in ipairs(KEYS) do
  local head = redis.call('GETRANGE', key, 0, 13)
  local state, seen = string.sub(head, 1, 1), string.sub(head, 2)
  if head == '' then
    out[i] = ''
  elseif state == 'p' or state == 'e' then
    out[i] = 'o' .. seen
  elseif ARGV[i] <= seen then
    out[i] = 't' .. seen
  else
    redis.call('SETRANGE', key, 0, 'a' .. ARGV[i])
    out[i] = (state == 'w' and 'r' or 't') .. ARGV[i]
  end
end
return out
`)

// swapScript stores a session if it still is what was read.
//
//	keys: session, what is due, user's set. arguments: what was read, value, until when it is kept, member of what isn't due any more (empty for none), id, score in the user's set
var swapScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('PEXPIREAT', KEYS[1], ARGV[3])
if ARGV[4] ~= '' then redis.call('ZREM', KEYS[2], ARGV[4]) end
redis.call('ZADD', KEYS[3], 'XX', ARGV[6], ARGV[5])
return 1
`)

// postponeScript says when a session is due next. One that is gone isn't due any more.
//
//	keys: session, what is due. arguments: member, due (empty for never)
var postponeScript = redis.NewScript(`
if ARGV[2] == '' or redis.call('EXISTS', KEYS[1]) == 0 then return redis.call('ZREM', KEYS[2], ARGV[1]) end
return redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
`)
