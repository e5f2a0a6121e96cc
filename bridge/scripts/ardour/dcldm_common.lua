  -- What all our scripts share; put into each of them in place of its line "common".

  local function contents (...)            -- of a file, or nil
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

  local function read_config ()            -- where the program is, or nil
    local text = contents (ARDOUR.user_config_directory (-1), "scripts", "dcldm.conf")
    return text and fields_of (text)
  end

  local function program (config)
    return ARDOUR.LuaOSC.Address ("osc.udp://127.0.0.1:" .. config.port)
  end

  local function say (text)
    LuaDialog.Message ("DC-LDM", text, LuaDialog.MessageType.Warning, LuaDialog.ButtonType.Close):run ()
  end

  local function audio_track (route)
    local track = route:to_track ()
    if not track:isnil () and not track:to_audio_track ():isnil () then return track end
  end

  local function selected_track ()
    local routes = Editor:get_selection ().tracks:routelist ()
    for route in routes:iter () do
      if audio_track (route) then return route:name () end
    end
    return ""                              -- a new one
  end

  local function id_of (region) return region:to_stateful ():id ():to_s () end

  local function track_of (region)         -- that the region lies on, by its id
    local tracks = Session:get_tracks ()
    for route in tracks:iter () do
      local track = route:to_track ()
      if not track:playlist ():region_by_id (region:to_stateful ():id ()):isnil () then return track end
    end
  end

  -- What this session has received from us: "job clip region" for each placed clip, and "file" lines for
  -- clips that Ardour had to convert: its own copy, a tab, our file. Region ids mean something in this
  -- session only, so the list lives with it.
  local function ledger_path () return ARDOUR.LuaAPI.build_filename (Session:path (), "dcldm-placed.txt") end

  local function note (...)
    local file = io.open (ledger_path (), "a")
    if not file then return end
    file:write (...)
    file:close ()
  end

  local function file_of (region)          -- the path of the clip that a region plays
    local source = region:source (0):to_filesource ()
    if source:isnil () then return "" end
    local path = source:path ()
    for copy, clip in (contents (ledger_path ()) or ""):gmatch ("file ([^\t\n]+)\t([^\n]+)\n") do
      if copy == path then return clip end
    end
    return path
  end

  local function write_file (path, text)   -- whether it could be
    local file = io.open (path, "w")
    if not file then return false end
    file:write (text)
    file:close ()
    return true
  end

  -- The session's markers, ranges or both whose names begin with `prefix`, which is left out: the text of a cue
  -- sheet, and how many there are.
  local function cue_sheet (markers, ranges, prefix)
    local rate, rows = Session:nominal_sample_rate (), { "time,length,prompt\n" }
    local locations = Session:locations ():list ()
    for location in locations:iter () do
      local name, range = location:name (), location:is_range_marker ()
      local usual = location:is_session_range () or location:is_auto_loop () or location:is_auto_punch ()
      local wanted = range and ranges or location:is_mark () and markers
      if wanted and not usual and not location:is_hidden () and name:sub (1, #prefix) == prefix then
        rows[#rows + 1] = string.format ('%.9f,%s,"%s"\n', location:start ():samples () / rate,
          range and string.format ("%.9f", location:length ():samples () / rate) or "",
          (name:sub (#prefix + 1):gsub ('"', '""')))
      end
    end
    return table.concat (rows), #rows - 1
  end
