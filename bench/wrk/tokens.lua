-- Sends the tokens of the file in turn. Every request is put together before the load begins, so that a turn costs next
-- to nothing on the load's core.
local requests, turn = {}, 0
function init()
  for token in io.lines(file) do
    local fields = {Authorization = "Bearer " .. token}
    if origin ~= "" then fields.Origin = origin end
    requests[#requests + 1] = wrk.format(nil, nil, fields)
  end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
