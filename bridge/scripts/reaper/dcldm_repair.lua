-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
-- Makes the part of the selected item that lies in the time selection anew; all else stays as it is.
local lib = dofile (reaper.GetResourcePath () .. "/Scripts/dcldm/dcldm_lib.lua")

lib.act (function (here)
  local item = here.item
  local from, to = math.max (here.from, item.position), math.min (here.to, item.position + item.length)
  if to <= from then error ("Make a time selection over the part of the item that is to be repaired.", 0) end
  local offset = reaper.GetMediaItemTakeInfo_Value (item.take, "D_STARTOFFS")
  local rate = reaper.GetMediaItemTakeInfo_Value (item.take, "D_PLAYRATE")
  lib.vary (here, "repair", {
    from = math.max (0.0, (from - item.position) * rate + offset),
    to = (to - item.position) * rate + offset,
  })
end, true)
