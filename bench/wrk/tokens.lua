-- Sends the tokens of the file in turn. Every request is put together before the load begins, so that a turn costs next
-- to nothing on the load's core.
local requests, turn = {}, 0
function init()
  for token in io.lines(file) do
    requests[#requests + 1] = wrk.format(nil, nil, {Authorization = "Bearer " .. token})
  end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
