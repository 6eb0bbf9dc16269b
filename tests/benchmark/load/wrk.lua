-- For wrk: sends the requests of a file in turns, if it is told of one. Says as JSON what came of
-- it, errors of all kinds together.
function init(arguments)
  local path = arguments[1]
  if not path then
    return
  end
  local requests, last = {}, 0
  for each in assert(io.open(path, "rb")):read("*a"):gmatch("(%Z+)%z") do
    requests[#requests + 1] = each
  end
  function request()
    last = last % #requests + 1
    return requests[last]
  end
end

function done(summary)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %f, "errors": %d}\n',
    summary.requests,
    summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
