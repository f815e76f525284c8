-- Sends the lines of the file in turn, each in the field of this name. Every request is put together before the load begins, so that
-- a turn costs next to nothing on the load's core.
local requests, turn = {}, 0
function init()
  for line in io.lines(file) do
    local fields = {[name] = before .. line}
    if origin ~= "" then fields.Origin = origin end
    requests[#requests + 1] = wrk.format(nil, nil, fields)
  end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
