-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
-- Asks for a prompt. The clips land in a selected empty item, else in the time selection, else at the cursor.
local lib = dofile (reaper.GetResourcePath () .. "/Scripts/dcldm/dcldm_lib.lua")

lib.act (function (here)
  local at = { position = here.cursor, track = here.track }
  local prompt, seconds = reaper.GetExtState ("dcldm", "prompt"), 10.0
  local item = here.item
  if item and not item.take then
    at = { position = item.position, track = item.track, item = item.guid }
    seconds = item.length
    if item.notes ~= "" then prompt = item.notes end
  elseif here.to > here.from then
    at.position, seconds = here.from, here.to - here.from
  end
  local answer = lib.ask ("Generate from prompt", {
    { "Prompt", prompt }, { "Seconds", ("%.4g"):format (seconds) }, { "Alternates", 4 },
    { "On the position: start onset peak", "start" },
  })
  if not answer then return end
  reaper.SetExtState ("dcldm", "prompt", answer[1], true)
  lib.generate (here, at, {
    prompt = answer[1],
    seconds = lib.number (answer[2], "the seconds"),
    variations = lib.whole (answer[3], "the number of alternates"),
    snap = answer[4] ~= "start" and answer[4] or "",
  })
end)
