-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
-- Another sound with the timing of the selected item, whoever made it: beside it on a track of its own.
local lib = dofile (reaper.GetResourcePath () .. "/Scripts/dcldm/dcldm_lib.lua")

lib.act (function (here)
  local item = here.item
  local answer = lib.ask ("Like this", {
    { "Prompt", item.notes }, { "Seconds", ("%.4g"):format (item.length) },
    { "Weight of the timing, 0 to 1", "0.7" }, { "Alternates", 1 },
  })
  if not answer then return end
  local offset = reaper.GetMediaItemTakeInfo_Value (item.take, "D_STARTOFFS")
  lib.generate (here, { position = math.max (0.0, item.position - offset), track = "" }, {
    prompt = answer[1],
    seconds = lib.number (answer[2], "the seconds"),
    weight = lib.number (answer[3], "the weight"),
    variations = lib.whole (answer[4], "the number of alternates"),
    like = item.file,
  })
end, true)
