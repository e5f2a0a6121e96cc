-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
ardour {
  ["type"] = "EditorHook",
  name = "DC-LDM: Clips and news",
  license = "GPL",
  author = "DC-LDM Plugin",
  description = "Puts generated clips on the timeline, and says how generation is getting on.",
}

function signals ()
  return LuaSignal.Set ():add ({ [LuaSignal.LuaTimerDS] = true })
end

function factory ()
  local config, app                        -- where the program is
  local tick, placing, talking = 0, false, false
  local shown                              -- job id -> what was said of it last

  local function contents (...)
    local file = io.open (ARDOUR.LuaAPI.build_filename (...), "r")
    if not file then return nil end
    local text = file:read ("a")
    file:close ()
    return text
  end

  local function fields_of (text)          -- "name=value" lines
    local fields = {}
    for name, value in text:gmatch ("([%w_]+)=([^\n]*)\n") do fields[name] = value end
    return fields
  end

  local function hello ()
    local text = contents (ARDOUR.user_config_directory (-1), "scripts", "dcldm.conf")
    if not text then app = nil return end
    config = fields_of (text)
    app = ARDOUR.LuaOSC.Address ("osc.udp://127.0.0.1:" .. config.port)
    app:send ("/dcldm/hello", "ssi", "ardour", Session:name (), Session:nominal_sample_rate ())
  end

  local function confirm (job, clip, region, track)
    app:send ("/dcldm/placed", "sssssd", "ardour", job.job, clip.id,
      region:to_stateful ():id ():to_s (), track:name (), region:position ():samples ())
  end

  -- Which clips of which jobs this session has received, as "job clip region" lines. Region ids mean
  -- something in this session only, so the list lives with it.
  local function ledger_path ()
    return ARDOUR.LuaAPI.build_filename (Session:path (), "dcldm-placed.txt")
  end

  local function on_timeline (region_id)
    for route in Session:get_tracks ():iter () do
      local track = route:to_track ()
      local region = track:playlist ():region_by_id (PBD.ID (region_id))
      if not region:isnil () then return region, track end
    end
  end

  local function placed_before (job, clip)
    local wanted, last = job.job .. " " .. clip.id .. " ", nil
    for line in (contents (ledger_path ()) or ""):gmatch ("[^\n]+") do
      if line:sub (1, #wanted) == wanted then last = line:sub (#wanted + 1) end
    end
    if last then return on_timeline (last) end
  end

  local function remember (job, clip, region)
    local file = io.open (ledger_path (), "a")
    if not file then return end
    file:write (job.job, " ", clip.id, " ", region:to_stateful ():id ():to_s (), "\n")
    file:close ()
  end

  -- Bring a file into the session's list of regions, converted to its rate; nil if Ardour can't.
  local function import (path)
    local known = {}
    for id in ARDOUR.RegionFactory.regions ():iter () do known[id:to_s ()] = true end
    local files = C.StringVector ()
    files:push_back (path)
    Editor:do_import (files, Editing.ImportDistinctFiles, Editing.ImportAsRegion, ARDOUR.SrcQuality.SrcBest,
      ARDOUR.MidiTrackNameSource.SMFTrackName, ARDOUR.MidiTempoMapDisposition.SMFTempoIgnore,
      Temporal.timepos_t (0), ARDOUR.PluginInfo (), ARDOUR.Track (), false)
    for id, region in ARDOUR.RegionFactory.regions ():iter () do
      if not known[id:to_s ()] and region:whole_file () then return region end
    end
  end

  local function track_for (job, region)
    local route = Session:route_by_name (job.track)
    if job.track ~= "" and not route:isnil () then
      local track = route:to_track ()
      if not track:isnil () and not track:to_audio_track ():isnil () then return track end
    end
    local name = job.track ~= "" and job.track or job.title
    local made = Session:new_audio_track (region:to_audioregion ():n_channels (), 2, nil, 1, name,
      ARDOUR.PresentationInfo.max_order, ARDOUR.TrackMode.Normal, true)
    return made:front ()
  end

  -- All clips of a job, in one undo step: the first on top and heard, its alternates under it, muted.
  local function place (job)
    local missing = {}
    for number = 1, tonumber (job.clips) do
      local clip = { id = job["clip" .. number .. "_id"], path = job["clip" .. number .. "_path"] }
      local region, track = placed_before (job, clip)
      if region then
        confirm (job, clip, region, track)
      else
        clip.file_region = import (clip.path)
        if not clip.file_region then
          app:send ("/dcldm/failed", "sss", "ardour", job.job,
            "Ardour could not import " .. clip.path .. "; see its log (Window, Log) for the reason.")
          return
        end
        clip.alternate = number > 1
        missing[#missing + 1] = clip
      end
    end
    if #missing == 0 then return end
    local position = tonumber (job.position)
    local rate = Session:nominal_sample_rate ()
    if tonumber (job.sample_rate) ~= rate then
      position = math.floor (position * rate / tonumber (job.sample_rate) + 0.5)
    end
    local track = track_for (job, missing[1].file_region)
    local playlist = track:playlist ()
    -- Ardour moves the session's end only while an operation that it knows by name is under way. This one is
    -- dropped, still empty, for one whose name says more; to nest them would lose both.
    Session:begin_reversible_command ("insert file")
    playlist:to_stateful ():clear_changes ()
    for index = #missing, 1, -1 do         -- what is added last lies on top
      local clip = missing[index]
      clip.region = ARDOUR.RegionFactory.clone_region (clip.file_region, true, false)
      if clip.alternate then clip.region:set_muted (true) end
      playlist:add_region (clip.region, Temporal.timepos_t (position), 1, false)
    end
    Session:abort_reversible_command ()
    Session:begin_reversible_command ("Generate: " .. job.title)
    Session:add_stateful_diff_command (playlist:to_statefuldestructible ())
    Session:commit_reversible_command (nil)
    for _, clip in ipairs (missing) do
      remember (job, clip, clip.region)
      confirm (job, clip, clip.region, track)
    end
  end

  local function take_job ()
    local path = ARDOUR.LuaAPI.build_filename (config.spool, "place.txt")
    local text = contents (path)
    if not text then return end
    local job = fields_of (text)
    if job.project ~= "" and job.project ~= Session:name () then return end -- meant for another Ardour
    if not os.remove (path) then return end                                 -- another Ardour took it
    local fine, problem = pcall (place, job)
    if not fine then
      app:send ("/dcldm/failed", "sss", "ardour", job.job, "Ardour could not place the clips: " .. tostring (problem))
    end
  end

  local function show_news ()
    local text = contents (config.spool, "board.txt")
    if not text then return end
    local before, first = shown, shown == nil
    shown = {}
    for id, project, status, message in text:gmatch ("job=([^\t\n]*)\t([^\t\n]*)\t([^\t\n]*)\t([^\n]*)\n") do
      if project == Session:name () then
        shown[id] = status .. message
        -- What was said before this session was opened is old.
        if not first and before[id] ~= shown[id] then
          print ("DC-LDM: " .. message)
          if status == "error" then
            LuaDialog.Message ("DC-LDM", message, LuaDialog.MessageType.Error, LuaDialog.ButtonType.Close):run ()
          end
        end
      end
    end
  end

  -- Importing and dialogs run Ardour's main loop, so this is called again before they return.
  return function ()
    tick = tick + 1
    if tick % 20 == 1 then pcall (hello) end
    if not app then return end
    if not placing then
      placing = true
      local fine, problem = pcall (take_job)
      if not fine then print ("DC-LDM: " .. tostring (problem)) end
      placing = false
    end
    if not talking then
      talking = true
      local fine, problem = pcall (show_news)
      if not fine then print ("DC-LDM: " .. tostring (problem)) end
      talking = false
    end
  end
end
