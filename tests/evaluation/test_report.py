"""Reports: whole pages, numbers that can be read back, and a curve where there is a sweep."""

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.evaluation.report import Table, listening_scores, page, paper_tables, plot, sweep_plots

COLUMNS = {"system": "System", "guidance": "w", "fad": "FAD ↓", "clap": "CLAP ↑", "is": "IS ↑"}
ROWS = [
    {"system": "<a>", "guidance": 1.0, "fad": 3.25, "clap": 0.5, "is": None},
    {"system": "b", "guidance": 4.0, "fad": 2.5, "clap": 0.25, "is": None},
]


def test_the_best_is_marked_and_empty_columns_are_left_out() -> None:
    table = Table("words & numbers", COLUMNS, ROWS)
    shown = table.html()
    assert "&lt;a&gt;" in shown
    assert "IS" not in shown
    assert shown.count("class=best") == 2
    assert "<td class=best>2.50</td>" in shown
    assert "<td class=best>0.50</td>" in shown
    assert list(csv.DictReader(io.StringIO(table.csv())))[1]["fad"] == "2.5"


def test_a_sweep_has_a_curve_for_each_metric() -> None:
    curves = sweep_plots(ROWS, COLUMNS)
    assert len(curves) == 2
    drawing = ElementTree.fromstring(curves[0])
    assert drawing.attrib["aria-label"] == "FAD ↓"
    assert len([each for each in drawing.iter() if each.tag == "circle"]) == 2
    assert sweep_plots(ROWS[:1], COLUMNS) == []
    ElementTree.fromstring(plot("flat", "w", [(1.0, 2.0)]))


def test_the_papers_tables() -> None:
    first, second = paper_tables()
    assert (len(first.rows), len(second.rows)) == (11, 8)
    best = min(first.rows, key=lambda row: row["fd"])
    assert (best["system"], best["fd"]) == ("DC-LDM w/ T5 & AG (CA-DOWN#1 & CA-UP#1)", 21.86)
    assert "OGL" not in first.html()
    assert "92.74" in second.html()


def test_the_page_needs_nothing_else() -> None:
    whole = page("Title", ["A note."], [Table("x", COLUMNS, ROWS)], sweep_plots(ROWS, COLUMNS))
    assert "A note." in whole
    assert "http" not in whole
    assert whole.count("<svg") == 2


def test_listening_scores(tmp_path: Path) -> None:
    path = tmp_path / "heard.json"
    path.write_text(json.dumps({"systems": {"a": {name: {"mean": 50.0} for name in ("ogl", "rel", "aq")}}}))
    assert listening_scores(path) == {"a": {"ogl": 50.0, "rel": 50.0, "aq": 50.0}}
    path.write_text("{}")
    with pytest.raises(InvalidInput, match="no results"):
        listening_scores(path)
