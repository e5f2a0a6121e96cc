-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
ardour {
  ["type"] = "EditorAction",
  name = "DC-LDM: Vary the selected region",
  license = "GPL",
  author = "DC-LDM Plugin",
  description = "Another take of a region, in its place: regenerate, re-texture, repair, like this, again.",
}

function factory ()
  --common
  local NEXT, NEW, SURFACE = "1  next take (nothing is rendered)", "2  new take", "3  same events, new surface"
  local REPAIR, LIKE, AGAIN = "4  repair the selected range", "5  like this: its timing, my words", "6  make it again"
  local prompt = ""

  -- The region that is selected, or that lies under the selected range; and that range.
  local function chosen ()
    local selection = Editor:get_selection ()
    local from, to = selection.time:start_sample (), selection.time:end_sample ()
    local regions = selection.regions:regionlist ()
    for region in regions:iter () do return region, from, to end
    if from < to then
      local routes = selection.tracks:routelist ()
      for route in routes:iter () do
        local track = audio_track (route)
        local region = track and track:playlist ():top_unmuted_region_at (Temporal.timepos_t (from))
        if region and not region:isnil () then return region, from, to end
      end
    end
  end

  local function next_take (region, track)
    local takes, heard = {}, 1
    local regions = track:playlist ():region_list ()
    for other in regions:iter () do
      if other:position ():samples () == region:position ():samples () then takes[#takes + 1] = other end
    end
    if #takes < 2 then return say ("There is only one take here.") end
    table.sort (takes, function (one, other) return tonumber (id_of (one)) < tonumber (id_of (other)) end)
    for number, take in ipairs (takes) do if not take:muted () then heard = number end end
    Session:begin_reversible_command ("DC-LDM: next take")
    for number, take in ipairs (takes) do
      take:to_stateful ():clear_changes ()
      take:set_muted (number ~= heard % #takes + 1)
      Session:add_stateful_diff_command (take:to_statefuldestructible ())
    end
    Session:commit_reversible_command (nil)
  end

  local function vary ()
    local config = read_config ()
    if not config then return say ("The file dcldm.conf is missing. Run: dcldm install ardour") end
    local region, from, to = chosen ()
    local track = region and not region:to_audioregion ():isnil () and track_of (region)
    if not track then return say ("Select an audio region first, or a range over one.") end
    local answer = LuaDialog.Dialog ("Vary the selected region", {
      { type = "entry", key = "prompt", title = "Other words (may be empty)", default = prompt },
      { type = "slider", key = "amount", title = "Amount, for 3 and 5", min = 0, max = 1, default = 0.5, digits = 2 },
      { type = "number", key = "alternates", title = "Alternates", min = 1, max = 8, step = 1, digits = 0, default = 1 },
      { type = "dropdown", key = "what", title = "Make", default = from < to and REPAIR or NEW,
        values = { [NEXT] = NEXT, [NEW] = NEW, [SURFACE] = SURFACE, [REPAIR] = REPAIR, [LIKE] = LIKE, [AGAIN] = AGAIN } },
    }):run ()
    if not answer then return end
    if answer.what == NEXT then return next_take (region, track) end
    local board = fields_of (contents (config.spool, "board.txt") or "")
    if os.time () - (tonumber (board.time) or 0) > 10 then
      return say ("dcldm is not running. Start it with: dcldm serve")
    end
    prompt = answer.prompt
    if #prompt > 4000 then return say ("The prompt is too long; shorten it to a few sentences.") end
    local file, rate = file_of (region), Session:nominal_sample_rate ()
    if #file > 2000 then return say ("The path of the region's file is too long for this.") end
    local id = string.format ("ardour-%x-%x", os.time (), ARDOUR.LuaAPI.monotonic_time ())
    local position, start = region:position ():samples (), region:start ():samples ()
    local item, name, project = id_of (region), track:name (), Session:name ()
    local count = math.floor (answer.alternates + 0.5)
    local app = program (config)
    if answer.what == AGAIN then
      app:send ("/dcldm/again", "sssssdisss", id, file, "", "ardour", name, position, rate, project, item, "")
      return
    end
    if answer.what == LIKE then            -- beside what it follows, on a track of its own, second by second with it
      position = math.max (0, position - start)
      if prompt ~= "" then
        app:send ("/dcldm/generate", "ssdissssdissdss",
          id, prompt, math.min (60, math.max (0.5, (start + region:length ():samples ()) / rate)), count, "", "",
          "ardour", "", position, rate, project, file, answer.amount, "", "")
      else
        app:send ("/dcldm/vary", "sssdsssssissssdis",
          id, file, "like", answer.amount, "", "", file, "", "", count, "", "", "ardour", "", position, rate, project)
      end
      return
    end
    local control = answer.what == SURFACE and "retexture" or answer.what == REPAIR and "repair" or "regenerate"
    local amount = answer.what == SURFACE and answer.amount or 0.0
    local first, last = 0.0, 0.0
    if answer.what == REPAIR then
      if from >= to then return say ("Select the range to be repaired first.") end
      first, last = math.max (0, from - position + start) / rate, math.max (0, to - position + start) / rate
    end
    app:send ("/dcldm/vary", "sssdddsssissssdisssss",
      id, file, control, amount, first, last, "", prompt, "", count, "", "",
      "ardour", name, position, rate, project, "", "", item, "")
  end

  return function ()
    local fine, problem = pcall (vary)     -- an error that escaped would unregister the action for good
    if not fine then print ("DC-LDM: " .. tostring (problem)) end
  end
end
