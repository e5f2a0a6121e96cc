-- Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
-- A small window: a line for each job that is under way, with a bar and "cancel", and for each error. It comes with
-- the first and goes with the last; whoever closes it sees it again with the next job.
local lib = ...
local window = {}
local TITLE, WIDTH, ROW, MARGIN, BUTTON = "DC-LDM", 420, 40, 10, 60
local is_open, is_down = false, false
local unwanted = {}                      -- ids of what was there when it was closed by hand
local height = 0

local function open (rows)
  height = #rows * ROW + MARGIN
  local dock, x, y = reaper.GetExtState ("dcldm", "window"):match ("^(%d+) (-?%d+) (-?%d+)$")
  gfx.init (TITLE, WIDTH, height, tonumber (dock) or 0, tonumber (x) or 200, tonumber (y) or 200)
  gfx.setfont (1, "Arial", 14)
  reaper.SetCursorContext (1, nil)       -- the keys belong to the arrangement
  is_open, is_down = true, true          -- a button that is held since before is no click
end

local function close ()
  local dock, x, y = gfx.dock (-1, 0, 0, 0, 0)
  if dock then
    reaper.SetExtState ("dcldm", "window", ("%d %d %d"):format (dock, math.floor (x or 200), math.floor (y or 200)), true)
  end
  gfx.quit ()
  is_open = false
end

local function draw (rows)
  gfx.set (0.16, 0.16, 0.18)
  gfx.rect (0, 0, gfx.w, gfx.h, 1)
  for number, row in ipairs (rows) do
    local top, right = (number - 1) * ROW + MARGIN, gfx.w - MARGIN
    gfx.x, gfx.y = MARGIN, top
    if row.part then
      gfx.set (0.9, 0.9, 0.9)
      gfx.drawstr (("%s  %d %%"):format (row.message, math.floor (row.part * 100 + 0.5)), 0, right - BUTTON, top + 18)
      gfx.x, gfx.y = right - BUTTON, top
      gfx.drawstr ("cancel", 2, right, top + 18)
      gfx.set (0.35, 0.35, 0.38)
      gfx.rect (MARGIN, top + 22, right - MARGIN, 6, 1)
      gfx.set (0.94, 0.7, 0.35)
      gfx.rect (MARGIN, top + 22, math.floor ((right - MARGIN) * math.min (1, row.part)), 6, 1)
    else
      gfx.set (1, 0.55, 0.5)
      gfx.drawstr (row.message, 0, right, top + ROW)
    end
  end
  gfx.update ()
end

local function clicked (rows)            -- the row whose "cancel" was pressed since the last time
  local down = gfx.mouse_cap & 1 == 1
  local press = down and not is_down
  is_down = down
  if not press or gfx.mouse_x < gfx.w - MARGIN - BUTTON then return nil end
  return rows[(gfx.mouse_y - MARGIN) // ROW + 1]
end

-- `rows`: { id, message, part }, where `part` (0 to 1) is of jobs and an error has none.
function window.show (rows)
  local wanted = {}
  for _, row in ipairs (rows) do
    if not unwanted[row.id] then wanted[#wanted + 1] = row end
  end
  if #wanted == 0 then
    if is_open then close () end
    if #rows == 0 then unwanted = {} end
    return
  end
  if is_open and #wanted * ROW + MARGIN > height then close () end  -- it grows
  if not is_open then open (wanted) end
  local key = gfx.getchar ()
  if key < 0 or key == 27 then           -- closed by hand, or by Escape
    for _, row in ipairs (wanted) do unwanted[row.id] = true end
    return close ()
  end
  draw (wanted)
  local row = clicked (wanted)
  if row and row.part then lib.send (nil, "/dcldm/cancel", row.id) end
end

return window
