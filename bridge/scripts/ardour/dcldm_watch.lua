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
  --common
  local config, app                        -- where the program is
  local tick, placing, talking = 0, false, false
  local shown                              -- job id -> what was said of it last
  local window, cancelled                  -- progress; jobs that were cancelled by it

  -- The region that is selected, by its id, the file that it plays; the selected range, or else the region's.
  local function selected ()
    local selection, item, file = Editor:get_selection (), "", ""
    local from, to = selection.time:start_sample (), selection.time:end_sample ()
    local regions = selection.regions:regionlist ()
    for region in regions:iter () do
      if not region:to_audioregion ():isnil () then
        item, file = id_of (region), file_of (region)
        if from >= to then
          from = region:position ():samples ()
          to = from + region:length ():samples ()
        end
        break
      end
    end
    return item, file, from, math.max (0, to - from)
  end

  local function hello ()
    config = read_config ()
    app = config and program (config)
    if not app then return end
    local version = ARDOUR.user_config_directory (-1):match ("(%d+)%D*$") or ""
    local item, file, from, length = selected ()
    app:send ("/dcldm/hello", "ssisssdssdd", "ardour", Session:name (), Session:nominal_sample_rate (),
      "Ardour " .. version, ARDOUR.LuaAPI.build_filename (Session:path (), "interchange", Session:name (), "audiofiles"),
      selected_track (), Session:transport_sample (), item, file, from, length)
  end

  local function confirm (clip, region, track)
    app:send ("/dcldm/placed", "sssssd", "ardour", clip.job, clip.id, id_of (region), track:name (),
      region:position ():samples ())
  end

  local function on_timeline (region_id)
    local tracks = Session:get_tracks ()
    for route in tracks:iter () do
      local track = route:to_track ()
      local region = track:playlist ():region_by_id (PBD.ID (region_id))
      if not region:isnil () then return region, track end
    end
  end

  -- After a crash Ardour may give a region's id to another one, so the file must be the clip's as well.
  local function placed_before (clip)
    local wanted, last = clip.job .. " " .. clip.id .. " ", nil
    for line in (contents (ledger_path ()) or ""):gmatch ("[^\n]+") do
      if line:sub (1, #wanted) == wanted then last = line:sub (#wanted + 1) end
    end
    if not last then return nil end
    local region, track = on_timeline (last)
    if region and file_of (region) == clip.path then return region, track end
  end

  -- Bring a file into the session's list of regions; nil if Ardour can't. At the session's rate the file
  -- itself is played, so that what it says of itself stays with the region; else Ardour makes a copy.
  local function import (clip)
    local known = {}
    for id, region in ARDOUR.RegionFactory.regions ():iter () do
      if region:whole_file () and file_of (region) == clip.path then return region end
      known[id:to_s ()] = true
    end
    local files = C.StringVector ()
    files:push_back (clip.path)
    local embed = tonumber (clip.rate) == Session:nominal_sample_rate ()
    if embed then
      Editor:do_embed (files, Editing.ImportDistinctFiles, Editing.ImportAsRegion, Temporal.timepos_t (0),
        ARDOUR.PluginInfo (), ARDOUR.Track ())
    else
      Editor:do_import (files, Editing.ImportDistinctFiles, Editing.ImportAsRegion, ARDOUR.SrcQuality.SrcBest,
        ARDOUR.MidiTrackNameSource.SMFTrackName, ARDOUR.MidiTempoMapDisposition.SMFTempoIgnore,
        Temporal.timepos_t (0), ARDOUR.PluginInfo (), ARDOUR.Track (), false)
    end
    for id, region in ARDOUR.RegionFactory.regions ():iter () do
      if not known[id:to_s ()] and region:whole_file () then
        local source = region:source (0):to_filesource ()
        if not embed and not source:isnil () then note ("file ", source:path (), "\t", clip.path, "\n") end
        return region
      end
    end
  end

  local function track_for (name, title, region, made)
    local route = Session:route_by_name (name)
    local track = name ~= "" and not route:isnil () and audio_track (route)
    if track then return track end
    local key = name ~= "" and name or title
    made[key] = made[key] or Session:new_audio_track (region:to_audioregion ():n_channels (), 2, nil, 1, key,
      ARDOUR.PresentationInfo.max_order, ARDOUR.TrackMode.Normal, true):front ()
    return made[key]
  end

  -- Ardour's Lua can set fades and not read them. So they are read from what Ardour would save.
  local function fades_of (region)
    local pending = ARDOUR.LuaAPI.build_filename (Session:path (), Session:snap_name () .. ".pending")
    local other = contents (pending) ~= nil
    Session:save_state ("", true, false, false, false, false)
    local text = contents (pending) or ""
    if not other then os.remove (pending) end
    local found = {}
    local start = text:find ('<Region [^>]- id="' .. id_of (region) .. '"')
    if not start then return found end
    local element = text:sub (start, (text:find ("</Region>", start, true) or #text))
    for side in pairs { FadeIn = 1, FadeOut = 1 } do
      local points = {}
      local events = element:match ("<" .. side .. ">.-<events>(.-)</events>") or ""
      for time, value in events:gmatch ("a(%d+) (%S+)") do points[#points + 1] = { tonumber (time), tonumber (value) } end
      if #points > 1 then
        local length, middle, shape = points[#points][1], 0.5, "FadeLinear"
        if #points > 2 then
          for _, point in ipairs (points) do if point[1] <= length / 2 then middle = point[2] end end
          shape = middle < 0.07 and "FadeFast" or middle < 0.4 and "FadeSlow"
            or middle < 0.65 and "FadeSymmetric" or "FadeConstantPower"
        end
        found[side] = { shape = ARDOUR.FadeShape[shape],
          samples = math.floor (length * Session:nominal_sample_rate () / Temporal.superclock_ticks_per_second () + 0.5) }
      end
    end
    return found
  end

  -- Give a new region what the one has that it takes the place of.
  local function resemble (region, old, fades)
    local new, from = region:to_audioregion (), old:to_audioregion ()
    local start = math.min (old:start ():samples (), math.max (0, region:length ():samples () - 1))
    region:set_length (Temporal.timecnt_t (math.min (old:length ():samples (), region:length ():samples () - start)))
    region:set_start (Temporal.timepos_t (start)) -- after the length: Ardour refuses what would reach beyond the file
    new:set_scale_amplitude (from:scale_amplitude ())
    if fades.FadeIn then
      new:set_fade_in_shape (fades.FadeIn.shape)
      new:set_fade_in_length (fades.FadeIn.samples)
    end
    if fades.FadeOut then
      new:set_fade_out_shape (fades.FadeOut.shape)
      new:set_fade_out_length (fades.FadeOut.samples)
    end
    new:set_fade_in_active (from:fade_in_active ())
    new:set_fade_out_active (from:fade_out_active ())
    if from:envelope_active () then
      new:envelope ():clear_list ()
      for event in from:envelope ():list ():events ():iter () do
        new:envelope ():add (event.when, event.value, false, true)
      end
      new:set_envelope_active (true)
    end
  end

  local function prepare (clip, made, title)
    clip.file_region = import (clip)
    if not clip.file_region then
      app:send ("/dcldm/failed", "sss", "ardour", clip.job,
        "Ardour could not import " .. clip.path .. "; see its log (Window, Log) for the reason.")
      return false
    end
    if clip.item ~= "" then clip.old, clip.on = on_timeline (clip.item) end
    clip.on = clip.on or track_for (clip.track, title, clip.file_region, made)
    return true
  end

  local function add (clip)
    local rate = Session:nominal_sample_rate ()
    local position = math.floor (tonumber (clip.position) * rate / tonumber (clip.timeline_rate) + 0.5)
    clip.region = ARDOUR.RegionFactory.clone_region (clip.file_region, true, false)
    if clip.old then
      position = clip.old:position ():samples ()
      resemble (clip.region, clip.old, clip.fades)
    else
      local skip = math.floor (tonumber (clip.skip) * rate + 0.5)
      if skip > 0 then
        clip.region:set_length (Temporal.timecnt_t (clip.region:length ():samples () - skip))
        clip.region:set_start (Temporal.timepos_t (skip))
      end
      local moment = math.floor (tonumber (clip.moment) * rate + 0.5) - skip
      clip.sync = moment > 0 and moment
    end
    if clip.alternate == "1" then clip.region:set_muted (true) end
    clip.on:playlist ():add_region (clip.region, Temporal.timepos_t (position), 1, false)
    if clip.sync then clip.region:set_sync_position (Temporal.timepos_t (position + clip.sync)) end
  end

  -- All clips of a job, or of a run of jobs, in one undo step: the first of each on top and heard, its
  -- alternates under it, muted, and below them what they take the place of, muted as well.
  local function place (job)
    local missing, made = {}, {}
    for number = 1, tonumber (job.clips) do
      local clip = fields_of ((job["clip" .. number] .. "\t"):gsub ("\t", "\n"))
      local region, track = placed_before (clip)
      if region then
        confirm (clip, region, track)
      else
        if not prepare (clip, made, job.title) then return end
        missing[#missing + 1] = clip
      end
    end
    if #missing == 0 then return end
    local playlists, olds = {}, {}
    for _, clip in ipairs (missing) do
      playlists[clip.on:name ()] = clip.on:playlist ()
      if clip.old then olds[clip.item] = olds[clip.item] or { region = clip.old, fades = fades_of (clip.old) } end
      clip.fades = clip.old and olds[clip.item].fades
    end
    -- Ardour moves the session's end only while an operation that it knows by name is under way. This one is
    -- dropped, still empty, for one whose name says more; to nest them would lose both.
    Session:begin_reversible_command ("insert file")
    for _, playlist in pairs (playlists) do playlist:to_stateful ():clear_changes () end
    for index = #missing, 1, -1 do add (missing[index]) end -- what is added last lies on top
    for _, old in pairs (olds) do
      old.region:to_stateful ():clear_changes ()
      old.region:set_muted (true)
    end
    Session:abort_reversible_command ()
    Session:begin_reversible_command (job.step)
    for _, playlist in pairs (playlists) do Session:add_stateful_diff_command (playlist:to_statefuldestructible ()) end
    for _, old in pairs (olds) do Session:add_stateful_diff_command (old.region:to_statefuldestructible ()) end
    Session:commit_reversible_command (nil)
    for _, clip in ipairs (missing) do
      note (clip.job, " ", clip.id, " ", id_of (clip.region), "\n")
      confirm (clip, clip.region, clip.on)
    end
  end

  local function choose (job)
    Session:begin_reversible_command ("DC-LDM: choose take")
    for number = 1, tonumber (job.clips) do
      local clip = fields_of ((job["clip" .. number] .. "\t"):gsub ("\t", "\n"))
      local region = placed_before (clip)
      if region then
        region:to_stateful ():clear_changes ()
        region:set_muted (clip.alternate == "1")
        if clip.alternate ~= "1" then region:raise_to_top () end
        Session:add_stateful_diff_command (region:to_statefuldestructible ())
      end
    end
    Session:commit_reversible_command (nil)
  end

  -- Under its name when it is complete. Windows does not rename onto a file that is there.
  local function tell_markers ()
    local path = ARDOUR.LuaAPI.build_filename (config.spool, "markers.csv")
    if not write_file (path .. ".part", (cue_sheet (true, true, ""))) then return end
    os.remove (path)
    os.rename (path .. ".part", path)
  end

  local function take_job (name, work)
    local path = ARDOUR.LuaAPI.build_filename (config.spool, name)
    local text = contents (path)
    if not text then return end
    local job = fields_of (text)
    if job.project ~= "" and job.project ~= Session:name () then return end -- meant for another Ardour
    if not os.remove (path) then return end                                 -- another Ardour took it
    local fine, problem = pcall (work, job)
    if not fine then
      Session:abort_empty_reversible_command ()
      app:send ("/dcldm/failed", "sss", "ardour", job.job or "", "Ardour could not place the clips: " .. tostring (problem))
    end
  end

  local function show_progress (running, fraction, message)
    if #running == 0 then
      if window then window:done () end
      window, cancelled = nil, nil
      return
    end
    window = window or LuaDialog.ProgressWindow ("DC-LDM", true)
    window:progress (fraction, message)
    if window:canceled () and not cancelled then
      cancelled = true
      for _, id in ipairs (running) do app:send ("/dcldm/cancel", "s", id) end
    end
  end

  local function show_news ()
    local text = contents (config.spool, "board.txt")
    if not text then return show_progress ({}) end
    local before, first, running, fraction, last = shown, shown == nil, {}, 0, ""
    local said, parts = {}, {}
    shown = {}
    for id, part in text:gmatch ("part=([^\t\n]*)\t([^\n]*)\n") do parts[id] = tonumber (part) end
    for id, project, status, message in text:gmatch ("job=([^\t\n]*)\t([^\t\n]*)\t([^\t\n]*)\t([^\n]*)\n") do
      if project == Session:name () then
        shown[id] = status .. message
        if status == "accepted" or status == "progress" then
          running[#running + 1] = id
          fraction, last = parts[id] or 0, message
        end
        -- What was said before this session was opened is old.
        if not first and before[id] ~= shown[id] then said[#said + 1] = { id = id, status = status, message = message } end
      end
    end
    show_progress (running, fraction, last)
    for _, one in ipairs (said) do
      print ("DC-LDM: " .. one.message)
      if one.status == "error" then
        LuaDialog.Message ("DC-LDM", one.message, LuaDialog.MessageType.Error, LuaDialog.ButtonType.Close):run ()
      elseif one.status == "preview" then
        local question = LuaDialog.Message ("DC-LDM: Spot cues", (one.message:gsub (" | ", "\n")),
          LuaDialog.MessageType.Question, LuaDialog.ButtonType.OK_Cancel)
        if question:run () == LuaDialog.Response.OK then app:send ("/dcldm/cues", "s", one.id) end
      end
    end
  end

  local function guarded (work, ...)
    local fine, problem = pcall (work, ...)
    if not fine then print ("DC-LDM: " .. tostring (problem)) end
  end

  -- Importing and dialogs run Ardour's main loop, so this is called again before they return.
  return function ()
    tick = tick + 1
    if tick % 20 == 1 then pcall (hello) end
    if not app then return end
    if not placing then
      placing = true
      guarded (take_job, "place.txt", place)
      guarded (take_job, "choose.txt", choose)
      guarded (take_job, "markers.txt", tell_markers)
      placing = false
    end
    if not talking then
      talking = true
      guarded (show_news)
      talking = false
    end
  end
end
