-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
-- The same events at the same times with another texture, as further takes of the selected item.
local lib = dofile (reaper.GetResourcePath () .. "/Scripts/dcldm/dcldm_lib.lua")

lib.act (function (here)
  local answer = lib.ask ("Re-texture", { { "Distance: 0 near, 1 far", "0.5" }, { "Alternates", 1 } })
  if not answer then return end
  lib.vary (here, "retexture", {
    amount = lib.number (answer[1], "the distance"),
    variations = lib.whole (answer[2], "the number of alternates"),
  })
end, true)
