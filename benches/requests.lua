-- wrk script: sends the requests of a file in turn and prints the result as one line of JSON.
--
--   wrk ... -s requests.lua <base address> -- <file>
--
-- Each line of the file is one request: method, path, bearer token and body, separated by tabs.

local THREAD_STRIDE = 7919

local threads = 0

function setup(thread)
    -- Threads begin at different lines, so that they do not march through the users together.
    thread:set("first", threads * THREAD_STRIDE)
    threads = threads + 1
end

local function format(line)
    local method, path, token, body = line:match("^(.-)\t(.-)\t(.-)\t(.*)$")
    local headers = { Authorization = "Bearer " .. token }
    if body == "" then
        return wrk.format(method, path, headers)
    end
    headers["Content-Type"] = "application/json"
    return wrk.format(method, path, headers, body)
end

function init(args)
    -- Formatted once: the generator shares the processors with what it measures.
    prepared = {}
    for line in io.lines(args[1]) do
        prepared[#prepared + 1] = format(line)
    end
    turn = first
end

function request()
    turn = turn + 1
    return prepared[turn % #prepared + 1]
end

function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format(
        '\n{"requests": %d, "seconds": %.3f, "p50_ms": %.3f, "p99_ms": %.3f, ' ..
        '"refused": %d, "broken": %d}\n',
        summary.requests, summary.duration / 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
