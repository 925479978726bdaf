-- ---- calls to be dialled ----
--
-- The queue is the fleet's, so its keys share one slot:
--   queue   sorted set: call_sid by the time of its next attempt, or of the look at an attempt without an answer
--   jobs    hash: call_sid to a JSON object, what an attempt needs to know; until the call is over
--   active  sorted set: calls that take a place of their business, by the time of the next look at them
--   busy    hash: places taken, by business
--   rate    hash: when the next call may be dialled, by account
--   key:<hash of an Idempotency-Key>   hash, which expires: digest, stamp, until, code, answer (rf_once), and of each of its
--           calls queued:<call_sid>, with its due_ms: it outlives the call, so that nobody is called again

-- A call whose business has no place free is looked at again after BUSY_WAIT_MS; those that are put back together keep
-- their order, by thousandths of a millisecond. Behind as many as are looked at at once
-- there may be others, which wait for no place of that business: those are looked at after NEXT_WAIT_MS. Calls whose account
-- may not dial yet keep their turn at the head, and those behind them are looked at too, up to TAKE_MAX in all: they may be
-- another account's. More in one call of the function would keep live calls waiting for Redis.
local BUSY_WAIT_MS, NEXT_WAIT_MS, TAKE_SCAN, TAKE_MAX = 500, 50, 50, 250

-- nil: it is none. A job that is not as it should be must not keep the others waiting.
local function read_job(text)
  local good, job = pcall(cjson.decode, text)
  return good and type(job) == 'table' and job or nil
end

-- A member of the job, which are all texts; '' where it has none.
local function job_text(job, name)
  return type(job[name]) == 'string' and job[name] or ''
end

-- A call whose job is lost does not say any more whose place it had.
local function count_places(jobs, active, busy)
  local taken, places = {}, redis.call('HGETALL', busy)
  for _, sid in ipairs(redis.call('ZRANGE', active, 0, -1)) do
    local text = redis.call('HGET', jobs, sid)
    local job = text and read_job(text)
    local business = job and job_text(job, 'business_id') or ''
    if business ~= '' then taken[business] = (taken[business] or 0) + 1 end
  end
  for i = 1, #places, 2 do
    local count = taken[places[i]]
    if not count then
      redis.call('HDEL', busy, places[i])
    elseif count ~= tonumber(places[i + 1]) then
      redis.call('HSET', busy, places[i], int(count))
    end
  end
end

local function free_place(jobs, active, busy, sid)
  if redis.call('ZREM', active, sid) == 0 then return end
  local text = redis.call('HGET', jobs, sid)
  local job = text and read_job(text)
  if not job then return count_places(jobs, active, busy) end
  local business = job_text(job, 'business_id')
  if redis.call('HINCRBY', busy, business, -1) <= 0 then redis.call('HDEL', busy, business) end
end

local function change_job(jobs, sid, text, changes)
  local job = cjson.decode(text)
  for name, value in pairs(changes) do job[name] = value end
  redis.call('HSET', jobs, sid, cjson.encode(job))
end

-- What was queued of a request, appended: call_sid, due_ms, and so on.
local function append_queued(answer, key)
  local known = redis.call('HGETALL', key)
  for i = 1, #known, 2 do
    local sid = string.match(known[i], '^queued:(.+)$')
    if sid then
      answer[#answer + 1] = sid
      answer[#answer + 1] = known[i + 1]
    end
  end
  return answer
end

-- rf_once: a request with an Idempotency-Key. The first one with it gets NEW; one that comes again after that one
-- was lost gets AGAIN, with the stamp of the first, from which it makes the same call_sids, and those that were queued.
-- KEYS key
-- ARGV digest (of the request), lock_ms, ttl_s, stamp ('': it has come too late to be the first)
-- -> NEW stamp | AGAIN stamp, then call_sid due_ms of each | NONE (it would be the first) | BUSY | DONE code answer
--  | OTHER (another request came with this key)
local function rf_once(keys, args)
  local known = redis.call('HMGET', keys[1], 'digest', 'stamp', 'until', 'code', 'answer')
  local now = now_ms()
  if known[1] and known[1] ~= args[1] then return { 'OTHER' } end
  if known[5] then return { 'DONE', known[4], known[5] } end
  if known[1] and tonumber(known[3]) > now then return { 'BUSY' } end
  if not known[1] and args[4] == '' then return { 'NONE' } end
  redis.call('HSET', keys[1], 'digest', args[1], 'stamp', known[2] or args[4], 'until', int(now + args[2]))
  redis.call('EXPIRE', keys[1], args[3])
  if not known[1] then return { 'NEW', args[4] } end
  return append_queued({ 'AGAIN', known[2] }, keys[1])
end
register('rf_once', rf_once, {})

-- rf_once_done: its answer; without one the request may be made again at once.
-- KEYS key
-- ARGV digest, code, answer ('': none)
-- -> KEPT | GONE
local function rf_once_done(keys, args)
  if redis.call('HGET', keys[1], 'digest') ~= args[1] then return { 'GONE' } end
  redis.call('HSET', keys[1], 'until', 0)
  if args[3] ~= '' then redis.call('HSET', keys[1], 'code', args[2], 'answer', args[3]) end
  return { 'KEPT' }
end
register('rf_once_done', rf_once_done, { 'allow-oom' })

-- rf_enqueue: a call to be dialled, behind those that are due already. The same call twice is one, also
-- when the first is long over.
-- KEYS queue, jobs, key (of the request)
-- ARGV sid, due_ms (the past: now), job (JSON), ttl_s (of the key)
-- -> QUEUED | EXISTS
local function rf_enqueue(keys, args)
  if redis.call('HSETNX', keys[3], 'queued:' .. args[1], args[2]) == 0 then return { 'EXISTS' } end
  redis.call('EXPIRE', keys[3], args[4])
  if redis.call('HSETNX', keys[2], args[1], args[3]) == 0 then return { 'EXISTS' } end
  redis.call('ZADD', keys[1], int(math.max(args[2], now_ms())), args[1])
  return { 'QUEUED' }
end
register('rf_enqueue', rf_enqueue, {})

-- rf_watch: a call that came to a number of a provider's own. It takes no place of a business; it is looked at until it
-- is over, should nothing be heard of it.
-- KEYS jobs, active
-- ARGV sid, look_ms, job (JSON, without a business_id)
-- -> WATCHED | EXISTS
local function rf_watch(keys, args)
  if redis.call('HSETNX', keys[1], args[1], args[3]) == 0 then return { 'EXISTS' } end
  redis.call('ZADD', keys[2], int(now_ms() + args[2]), args[1])
  return { 'WATCHED' }
end
register('rf_watch', rf_watch, {})

-- rf_job: what the queue has of a call.
-- KEYS queue, jobs
-- ARGV sid
-- -> NONE | JOB due_ms (0: it has been dialled) job
local function rf_job(keys, args)
  local text = redis.call('HGET', keys[2], args[1])
  if not text then return { 'NONE' } end
  return { 'JOB', int(redis.call('ZSCORE', keys[1], args[1]) or 0), text }
end
register('rf_job', rf_job, { 'no-writes', 'allow-oom' })

-- rf_take: what is to be done next. A call that is handed out to be dialled is marked (asked): should its warmer
-- die, the next one looks first whether it was dialled. So far nobody else gets it for lease_ms.
-- KEYS queue, jobs, active, busy, rate
-- ARGV lease_ms, interval_ms (between two calls of an account)
-- -> DIAL sid job (as it was before it was marked) | LOOK sid job (dialled, and not heard of for long) | LATER ms.
--  A job that cannot be read is handed out as well: its warmer says so of the call, and takes it out
local function rf_take(keys, args)
  local queue, jobs, active, busy, rate = keys[1], keys[2], keys[3], keys[4], keys[5]
  local now = now_ms()
  local lease, wait, put_back = int(now + args[1]), 1000, 0
  for _, sid in ipairs(redis.call('ZRANGEBYSCORE', active, '-inf', int(now), 'LIMIT', 0, TAKE_SCAN)) do
    local text = redis.call('HGET', jobs, sid)
    if not text then
      free_place(jobs, active, busy, sid)
    else
      redis.call('ZADD', active, lease, sid)
      if not redis.call('ZSCORE', queue, sid) then return { 'LOOK', sid, text } end
    end
  end
  local looked, rated, due = 0, 0, nil -- rated: of those, that wait for their account
  repeat
    due = redis.call('ZRANGEBYSCORE', queue, '-inf', int(now), 'LIMIT', rated, TAKE_SCAN)
    for _, sid in ipairs(due) do
      local text = redis.call('HGET', jobs, sid)
      local job = text and read_job(text)
      local business, carrier = job and job_text(job, 'business_id'), job and job_text(job, 'carrier')
      local held = redis.call('ZSCORE', active, sid)
      local free_ms = job and tonumber(redis.call('HGET', rate, carrier) or 0) or 0
      if not text then
        redis.call('ZREM', queue, sid)
      elseif not job then
        redis.call('ZADD', queue, lease, sid)
        return { 'DIAL', sid, text }
      elseif not held and tonumber(redis.call('HGET', busy, business) or 0) >= (tonumber(job.max_calls) or 1) then
        put_back = put_back + 1
        redis.call('ZADD', queue, string.format('%.3f', now + BUSY_WAIT_MS + put_back / 1000), sid)
      elseif job.asked or free_ms <= now then
        if not job.asked then redis.call('HSET', rate, carrier, int(math.max(free_ms, now) + args[2])) end
        if not held then redis.call('HINCRBY', busy, business, 1) end
        redis.call('ZADD', active, lease, sid)
        redis.call('ZADD', queue, lease, sid)
        if not job.asked then change_job(jobs, sid, text, { asked = int(now) }) end
        return { 'DIAL', sid, text }
      else
        wait, rated = math.min(wait, free_ms - now), rated + 1
      end
    end
    looked = looked + #due
  until #due < TAKE_SCAN or looked - rated >= TAKE_SCAN or looked >= TAKE_MAX
  if put_back > 0 and #due == TAKE_SCAN then wait = math.min(wait, NEXT_WAIT_MS) end
  local next = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
  if next[2] and tonumber(next[2]) > now then wait = math.min(wait, math.ceil(tonumber(next[2]) - now)) end
  return { 'LATER', int(wait) }
end
register('rf_take', rf_take, {})

-- rf_back: an attempt that came to nothing yet; the call is taken up again later.
-- KEYS queue, jobs, active, busy
-- ARGV sid, delay_ms, changes to the job (JSON; null removes), keep ('1': its place stays taken)
-- -> BACK | GONE (it was dialled after all, or is over)
local function rf_back(keys, args)
  local queue, jobs, active, busy = keys[1], keys[2], keys[3], keys[4]
  local text = redis.call('HGET', jobs, args[1])
  if not text or not redis.call('ZSCORE', queue, args[1]) then return { 'GONE' } end
  if args[4] ~= '1' then free_place(jobs, active, busy, args[1]) end
  local changes = cjson.decode(args[3])
  for name, value in pairs(changes) do
    if value == cjson.null then changes[name] = false end -- as good as none
  end
  change_job(jobs, args[1], text, changes)
  redis.call('ZADD', queue, int(now_ms() + args[2]), args[1])
  return { 'BACK' }
end
register('rf_back', rf_back, { 'allow-oom' })

-- rf_settle: the call was dialled. It keeps its place until it is over, and is looked at in between.
-- KEYS queue, jobs, active
-- ARGV sid, provider_call_sid, conversation_id ('': not known), look_ms
-- -> SETTLED | GONE
local function rf_settle(keys, args)
  local text = redis.call('HGET', keys[2], args[1])
  if not text then return { 'GONE' } end
  redis.call('ZREM', keys[1], args[1])
  redis.call('ZADD', keys[3], 'XX', int(now_ms() + args[4]), args[1])
  local ids = {}
  if args[2] ~= '' then ids.provider_call_sid = args[2] end
  if args[3] ~= '' then ids.conversation_id = args[3] end
  change_job(keys[2], args[1], text, ids)
  return { 'SETTLED' }
end
register('rf_settle', rf_settle, { 'allow-oom' })

-- rf_over: the call has ended, or will not be dialled.
-- KEYS queue, jobs, active, busy
-- ARGV sid
-- -> OVER count (0: it was already)
local function rf_over(keys, args)
  redis.call('ZREM', keys[1], args[1])
  free_place(keys[2], keys[3], keys[4], args[1])
  return { 'OVER', redis.call('HDEL', keys[2], args[1]) }
end
register('rf_over', rf_over, { 'allow-oom' })
