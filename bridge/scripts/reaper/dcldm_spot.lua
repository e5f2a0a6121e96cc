-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
-- A sound for every marker, region, empty item or selected track, by its words, or for every row of a cue sheet.
local lib = dofile (reaper.GetResourcePath () .. "/Scripts/dcldm/dcldm_lib.lua")

local function quoted (text) return '"' .. text:gsub ("%s+", " "):gsub ('"', '""') .. '"' end

local function row (time, length, prompt, track)
  return ("%.9f,%s,%s,%s\n"):format (time, length > 0 and ("%.9f"):format (length) or "", quoted (prompt), quoted (track))
end

-- Words of the project as rows of a cue sheet. `from` names the kinds; each begins with `prefix`, left out here.
local function rows_of (here, from, prefix)
  local rows, project = {}, here.handle
  local function add (time, length, text, track)
    if text:sub (1, #prefix) == prefix and text:find ("%S", #prefix + 1) then
      rows[#rows + 1] = row (time, length, text:sub (#prefix + 1), track)
    end
  end
  for index = 0, reaper.CountProjectMarkers (project) - 1 do
    local _, is_region, time, ending, name = reaper.EnumProjectMarkers3 (project, index)
    if from:find (is_region and "region" or "marker") then
      add (time, is_region and ending - time or 0, name, here.track)
    end
  end
  if from:find ("item") then
    for index = 0, reaper.CountMediaItems (project) - 1 do
      local item = reaper.GetMediaItem (project, index)
      if reaper.CountTakes (item) == 0 then
        local _, notes = reaper.GetSetMediaItemInfo_String (item, "P_NOTES", "", false)
        add (reaper.GetMediaItemInfo_Value (item, "D_POSITION"), reaper.GetMediaItemInfo_Value (item, "D_LENGTH"),
          notes, lib.track_guid (reaper.GetMediaItem_Track (item)))
      end
    end
  end
  if from:find ("track") then
    local in_range = here.to > here.from
    for index = 0, reaper.CountSelectedTracks (project) - 1 do
      local track = reaper.GetSelectedTrack2 (project, index, false)
      add (in_range and here.from or here.cursor, in_range and here.to - here.from or 0,
        lib.track_name (track), lib.track_guid (track))
    end
  end
  return rows
end

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
    local rows = rows_of (here, answer[1], answer[2])
    if #rows == 0 then
      error ("There is nothing of that kind; name markers, regions, tracks or notes of empty items by their sounds.", 0)
    end
    path = lib.write ("cues.csv", "time,length,prompt,track\n" .. table.concat (rows), true)
  end
  local id = lib.new_id ()
  reaper.SetProjExtState (here.handle, "dcldm", "run", id)
  lib.send (nil, "/dcldm/cues/check", id, path, lib.HOST, here.project, here.rate, "", "", here.track,
    lib.number (answer[3], "the seconds"), lib.whole (answer[4], "the number of alternates"),
    answer[5] ~= "start" and answer[5] or "")
end)
