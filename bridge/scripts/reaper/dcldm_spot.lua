-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
-- A sound for every marker, region, empty item or selected track, by its words, or for every row of a cue sheet.
local lib = dofile (reaper.GetResourcePath () .. "/Scripts/dcldm/dcldm_lib.lua")

local cues = loadfile (lib.folder .. "dcldm_cues.lua") (lib)

lib.act (function (here)
  local answer = lib.ask ("Spot cues", {
    { "From: markers regions items tracks sheet last", "markers regions items" }, { "Only what begins with", "" },
    { "Seconds where none are given", 10 }, { "Alternates", 1 }, { "On the time: start onset peak", "start" },
  })
  if not answer then return end
  if answer[1]:find ("last") then        -- the last run of this project goes on where it stopped
    local _, run = reaper.GetProjExtState (here.handle, "dcldm", "run")
    if run == "" then error ("Nothing was spotted in this project yet.", 0) end
    return lib.send (nil, "/dcldm/cues", run)
  end
  local path
  if answer[1]:find ("sheet") then
    local fine
    fine, path = reaper.GetUserFileNameForRead ("", "Cue sheet", "csv")
    if not fine then return end
  else
    local text, count = cues.sheet (here, answer[1], answer[2])
    if count == 0 then
      error ("There is nothing of that kind; name markers, regions, tracks or notes of empty items by their sounds.", 0)
    end
    path = lib.write ("cues.csv", text, true)
  end
  local id = lib.new_id ()
  reaper.SetProjExtState (here.handle, "dcldm", "run", id)
  lib.send (nil, "/dcldm/cues/check", id, path, lib.HOST, here.project, here.rate, "", "", here.track,
    lib.number (answer[3], "the seconds"), lib.whole (answer[4], "the number of alternates"),
    answer[5] ~= "start" and answer[5] or "")
end)
