"""UCS: the list, suggestions by word and by meaning, names, and the official sheet in the place of ours."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.ucs import Category, Table, fx_name, install, parse_name

TABLE = Table.load()


def test_the_list_is_whole() -> None:
    assert len(TABLE.rows) == 753
    assert len({row.category for row in TABLE.rows.values()}) == 82
    assert TABLE.find("DOORWood") == TABLE.rows["DOORWood"]


@pytest.mark.parametrize(
    ("prompt", "cat_id"),
    [
        ("distant thunder over a wet street", "THUN"),
        ("heavy rain on a tin roof", "RAINMetl"),
        ("rain", "RAIN"),
        ("rain heard from inside", "RAINInt"),
        ("a car", "VEHCar"),
        ("puppies yapping", "ANMLDog"),
        ("footsteps on gravel", "FEETHmn"),
        ("slow footsteps on gravel", "FEETHmn"),
        ("glass shattering", "GLASBrk"),
        ("a sword clash in a castle", "WEAPSwrd"),
        ("laser gun", "LASRGun"),
        ("slow church bell in the distance", "BELLLrg"),
        ("wind howling through trees", "WINDTonl"),
        ("a big explosion far away", "EXPLReal"),
    ],
)
def test_words_say_where_a_sound_belongs(prompt: str, cat_id: str) -> None:
    assert TABLE.suggest(prompt, 1, by_meaning=False)[0].cat_id == cat_id


@pytest.mark.parametrize(
    ("prompt", "category"),
    [("a hound howls at the moon", "ANIMALS"), ("sprinkling shower from the clouds", "RAIN"), ("jalopy", "VEHICLES")],
)
def test_meaning_helps_where_no_word_is_known(prompt: str, category: str) -> None:
    assert category in {row.category for row in TABLE.suggest(prompt, 5)}


def test_there_is_always_a_category_of_the_list() -> None:
    for prompt in ("quasar zorp", "…", "مطر", "the of and"):
        assert TABLE.cat_id_of(prompt) in TABLE.rows


def test_suggesting_loads_no_torch() -> None:
    code = "import sys; from dcldm_plugin.ucs import Table; Table.load().suggest('zorp'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == "False\n"


def test_a_cat_id_is_looked_up_never_invented() -> None:
    with pytest.raises(InvalidInput, match="is it DOORWood"):
        TABLE.find("doorwood")
    with pytest.raises(InvalidInput, match="no CatID"):
        TABLE.find("Zorp")


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("heavy rain on a tin roof", "Heavy Rain On A Tin Roof"),
        ("../../etc/passwd:*?", "Etc Passwd"),
        ("Straße im Café", "Strasse Im Cafe"),
        ("дождь", "Dozhd"),
        ("🔔", "Bell"),
        ("…!", "Sound"),
        ("dog's bark", "Dogs Bark"),
        ("under_score-hyphen", "Under Score Hyphen"),
        ("x" * 300, "x" * 40),
        ("word " * 100, "Word Word Word Word Word Word Word Word"),
    ],
)
def test_names_are_short_plain_and_harmless(prompt: str, name: str) -> None:
    assert fx_name(prompt) == name


def test_names_are_read_back() -> None:
    name = parse_name("RAINMetl_Tin Roof_JD_DCLDM_02", TABLE)
    assert name is not None and (name.cat_id, name.fx_name, name.creator_id) == ("RAINMetl", "Tin Roof", "JD")
    assert parse_name("my favourite rain", TABLE) is None
    assert parse_name("NOPE_a_b_c", TABLE) is None


SHEET = "UCS v8.2,,,\n\nCategory,SubCategory,CatID,CatShort,Explanations,Synonyms - Comma Separated\n" + "".join(
    f'KIND,SUB {number},KINDSub{number},KIND,About it.,"zorp{number}, blip"\n' for number in range(150)
)


def test_the_official_sheet_takes_the_place_of_ours(tmp_path: Path) -> None:
    sheet = tmp_path / "UCS.csv"
    sheet.write_text(SHEET, encoding="utf-8-sig")
    assert len(install(sheet, tmp_path / "home").rows) == 150
    table = Table.load(tmp_path / "home")
    assert table.rows["KINDSub7"] == Category("KIND", "SUB 7", "KINDSub7", ("zorp7", "blip"))
    assert table.suggest("a zorp7", 1)[0].cat_id == "KINDSub7"
    assert len(Table.load(tmp_path).rows) == 753


def test_a_workbook_is_read_as_well(tmp_path: Path) -> None:
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    rows = [line.split(",", 5) for line in SHEET.replace('"', "").splitlines()]
    shared = sorted({cell for row in rows for cell in row})
    cells = ""
    for number, row in enumerate(rows, 1):
        texts = [f'<c r="{"ABCDEF"[k]}{number}" t="s"><v>{shared.index(cell)}</v></c>' for k, cell in enumerate(row)]
        cells += f"<row>{''.join(texts)}</row>"
    strings = "".join(f"<si><t>{text}</t></si>" for text in shared)
    book = tmp_path / "UCS.xlsx"
    with zipfile.ZipFile(book, "w") as archive:
        archive.writestr("xl/sharedStrings.xml", f"<sst {space}>{strings}</sst>")
        archive.writestr("xl/worksheets/sheet1.xml", f"<worksheet {space}><sheetData>{cells}</sheetData></worksheet>")
    assert len(install(book, tmp_path / "home").rows) == 150


NO_LISTS = (b"", b"a,b,c\n1,2,3\n", b"PK\x03\x04 no zip", b"Category,SubCategory,CatID\nA,B,ABc\n", bytes(5000))


@pytest.mark.parametrize("content", NO_LISTS)
def test_what_is_no_list_is_refused_and_ours_stays(tmp_path: Path, content: bytes) -> None:
    sheet = tmp_path / "sheet"
    sheet.write_bytes(content)
    with pytest.raises(InvalidInput):
        install(sheet, tmp_path / "home")
    with pytest.raises(InvalidInput, match="can't be read"):
        install(tmp_path / "missing", tmp_path / "home")
    assert len(Table.load(tmp_path / "home").rows) == 753


def test_a_damaged_list_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "ucs.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DcldmError, match="install it again"):
        Table.load(tmp_path)
