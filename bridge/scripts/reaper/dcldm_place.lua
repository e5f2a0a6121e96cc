-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
-- Puts clips on the timeline. Each take of ours carries "job clip", so that asking twice places once.
local lib = ...
local cues = loadfile (lib.folder .. "dcldm_cues.lua") (lib)
local place = {}
local MARK = "P_EXT:dcldm"

local function mark_of (take)
  local _, mark = reaper.GetSetMediaItemTakeInfo_String (take, MARK, "", false)
  return mark or ""
end

local function takes_of (project)        -- all takes of ours by their mark
  local takes = {}
  for index = 0, reaper.CountMediaItems (project) - 1 do
    local item = reaper.GetMediaItem (project, index)
    for number = 0, reaper.CountTakes (item) - 1 do
      local take = reaper.GetTake (item, number)
      local mark = take and mark_of (take) or ""
      if mark ~= "" then takes[mark] = take end
    end
  end
  return takes
end

local function find_item (project, guid)
  for index = 0, reaper.CountMediaItems (project) - 1 do
    local item = reaper.GetMediaItem (project, index)
    if lib.item_guid (item) == guid then return item end
  end
end

-- An item without takes that waits, on this track and at this time, for a sound.
local function find_empty (project, track, seconds)
  for index = 0, reaper.CountMediaItems (project) - 1 do
    local item = reaper.GetMediaItem (project, index)
    if reaper.CountTakes (item) == 0 and reaper.GetMediaItem_Track (item) == track
      and math.abs (reaper.GetMediaItemInfo_Value (item, "D_POSITION") - seconds) < 1e-4 then
      return item
    end
  end
end

local function find_track (project, wanted)  -- by identity, or by name: of several, the selected one
  if wanted == "" then return nil end
  local named
  for index = 0, reaper.CountTracks (project) - 1 do
    local track = reaper.GetTrack (project, index)
    if lib.track_guid (track) == wanted then return track end
    if lib.track_name (track) == wanted and (not named or reaper.IsTrackSelected (track)) then named = track end
  end
  return named
end

local function new_track (project, name)
  local index = reaper.CountTracks (project)
  if reaper.APIExists ("InsertTrackInProject") then
    reaper.InsertTrackInProject (project, index, 1)
  else                                   -- before 7.27; only into the project that is in front
    reaper.InsertTrackAtIndex (index, true)
  end
  local track = assert (reaper.GetTrack (project, index), "REAPER made no new track")
  reaper.GetSetMediaTrackInfo_String (track, "P_NAME", name, true)
  return track
end

local function build_peaks (source)
  if reaper.PCM_Source_BuildPeaks (source, 0) == 0 then return end
  for _ = 1, 10000 do
    if reaper.PCM_Source_BuildPeaks (source, 1) == 0 then break end
  end
  reaper.PCM_Source_BuildPeaks (source, 2)
end

local function confirm (project, clip, take)
  local item = reaper.GetMediaItemTake_Item (take)
  lib.send (nil, "/dcldm/placed", lib.HOST, clip.job, clip.id, lib.item_guid (item),
    lib.track_name (reaper.GetMediaItem_Track (item)),
    lib.samples (reaper.GetMediaItemInfo_Value (item, "D_POSITION"), lib.rate (project)))
end

local function clips_of (job)
  local clips = {}
  for number = 1, tonumber (job.clips) do
    local prefix, clip = "clip" .. number .. "_", {}
    for name, value in pairs (job) do
      if name:sub (1, #prefix) == prefix then clip[name:sub (#prefix + 1)] = value end
    end
    for _, name in ipairs { "at", "start", "moment" } do clip[name] = tonumber (clip[name]) end
    clips[number] = clip
  end
  return clips
end

local function add_take (item, clip)
  local take = reaper.AddTakeToMediaItem (item)
  reaper.SetMediaItemTake_Source (take, clip.source)
  reaper.GetSetMediaItemTakeInfo_String (take, "P_NAME", clip.name, true)
  reaper.GetSetMediaItemTakeInfo_String (take, MARK, clip.job .. " " .. clip.id, true)
  return take
end

-- Into the place of an item: position, length, fades and volume are the item's and stay; so do its takes. What
-- REAPER keeps with a take is as in the one that was heard, trim and speed too: the same moments stay in place.
local OF_TAKE = { "D_STARTOFFS", "D_VOL", "D_PAN", "D_PANLAW", "D_PLAYRATE", "D_PITCH", "B_PPITCH" }

local function into_item (item, clip)
  local old = reaper.GetActiveTake (item)
  local take = add_take (item, clip)
  if old then
    for _, name in ipairs (OF_TAKE) do
      reaper.SetMediaItemTakeInfo_Value (take, name, reaper.GetMediaItemTakeInfo_Value (old, name))
    end
  end
  if clip.moment > 0 then                -- what falls on the marker is the item's snap offset
    local offset = clip.moment - reaper.GetMediaItemInfo_Value (item, "D_SNAPOFFSET")
    reaper.SetMediaItemTakeInfo_Value (take, "D_STARTOFFS", offset)
  end
  return take
end

-- The first of a job makes the item; its alternates are aligned with it.
local function new_item (project, clip, track)
  local item = reaper.AddMediaItemToTrack (track)
  reaper.SetMediaItemInfo_Value (item, "D_POSITION", clip.at)
  reaper.SetMediaItemInfo_Value (item, "B_LOOPSRC", 0)
  reaper.SetMediaItemInfo_Value (item, "D_SNAPOFFSET", math.max (0, clip.start + clip.moment - clip.at))
  reaper.GetSetMediaItemInfo_String (item, "P_NOTES", clip.prompt, true)
  return item
end

local function beside (item, clip)
  local position = reaper.GetMediaItemInfo_Value (item, "D_POSITION")
  local take = add_take (item, clip)
  local offset = position - clip.start
  reaper.SetMediaItemTakeInfo_Value (take, "D_STARTOFFS", offset)
  local length = reaper.GetMediaSourceLength (clip.source) - offset
  if length > reaper.GetMediaItemInfo_Value (item, "D_LENGTH") then
    reaper.SetMediaItemInfo_Value (item, "D_LENGTH", length)
  end
  return take
end

local function put (project, clips, done)
  local items, tracks = {}, {}           -- by job; new tracks by the name that was asked for
  for _, clip in ipairs (clips) do
    local take = done[clip.job .. " " .. clip.id]
    if take and not items[clip.job] then
      items[clip.job] = { reaper.GetMediaItemTake_Item (take), clip.item ~= "" and into_item or beside }
    end
  end
  for _, clip in ipairs (clips) do
    if clip.source then
      local entry = items[clip.job]
      if not entry then
        local known = find_track (project, clip.track)
        local old = clip.item ~= "" and find_item (project, clip.item) or known and find_empty (project, known, clip.at)
        if old then
          entry = { old, into_item }
        else
          local wanted = clip.track ~= "" and clip.track or clip.job
          local track = known or tracks[wanted]
          if not track then
            local named = clip.track ~= "" and not clip.track:match ("^{.*}$")
            track = new_track (project, named and clip.track or clip.title)
            tracks[wanted] = track
          end
          entry = { new_item (project, clip, track), beside }
        end
        items[clip.job] = entry
        clip.take = entry[2] (entry[1], clip)
        reaper.SetActiveTake (clip.take)
      else
        clip.take = entry[2] (entry[1], clip)
      end
      reaper.UpdateItemInProject (entry[1])
    end
  end
end

local function place_all (project, job)
  local clips, done, missing = clips_of (job), takes_of (project), 0
  for _, clip in ipairs (clips) do
    if not done[clip.job .. " " .. clip.id] then
      clip.source = reaper.PCM_Source_CreateFromFile (clip.path)
      if not clip.source then
        lib.send (nil, "/dcldm/failed", lib.HOST, clip.job,
          "REAPER could not open " .. clip.path .. "; check that the file is there and place it again.")
        return
      end
      build_peaks (clip.source)
      missing = missing + 1
    end
  end
  if missing > 0 then
    reaper.Undo_BeginBlock2 (project)
    reaper.PreventUIRefresh (1)
    local fine, problem = pcall (put, project, clips, done)
    reaper.PreventUIRefresh (-1)
    reaper.Undo_EndBlock2 (project, job.undo, -1)
    reaper.UpdateArrange ()
    if not fine then error (problem, 0) end
  end
  for _, clip in ipairs (clips) do
    confirm (project, clip, clip.take or done[clip.job .. " " .. clip.id])
  end
end

-- Take a file of the spool, if it is for a project that is open here.
local function taken (name)
  local path = lib.spool () .. name
  local text = lib.contents (path)
  if not text then return nil end
  local job = lib.fields (text)
  local project = lib.find_project (job.project or "")
  if not project or not os.remove (path) then return nil end  -- for another REAPER, or it was quicker
  return job, project
end

local function choose (job, project)
  local take = takes_of (project)[job.job .. " " .. job.clip]
  if not take then return end
  reaper.Undo_BeginBlock2 (project)
  reaper.SetActiveTake (take)
  reaper.UpdateItemInProject (reaper.GetMediaItemTake_Item (take))
  reaper.Undo_EndBlock2 (project, "DC-LDM: choose take", -1)
  reaper.UpdateArrange ()
end

-- Do what lies in the spool; true if there was anything.
function place.drain ()
  local job, project = taken ("place.txt")
  if job then
    local fine, problem = pcall (place_all, project, job)
    if not fine then
      lib.send (nil, "/dcldm/failed", lib.HOST, job.clip1_job, "REAPER could not place the clips: " .. tostring (problem))
    end
  end
  local choice, its_project = taken ("choose.txt")
  if choice then choose (choice, its_project) end
  local asked, handle = taken ("markers.txt")
  if asked then lib.write ("markers.csv", cues.sheet ({ handle = handle, track = "" }, "marker region", ""), true) end
  return job ~= nil or choice ~= nil
end

-- Tell the program what is open here and where the user is in it.
function place.hello ()
  local here = lib.here ()
  local item, from, to = here.item, here.from, here.to
  if to <= from and item then from, to = item.position, item.position + item.length end
  lib.send ("hello", "/dcldm/hello", lib.HOST, here.project, here.rate, "REAPER " .. reaper.GetAppVersion (),
    here.folder, here.track_name, lib.samples (here.cursor, here.rate),
    item and item.guid or "", item and item.file or "",
    lib.samples (from, here.rate), lib.samples (to, here.rate) - lib.samples (from, here.rate))
end

return place
