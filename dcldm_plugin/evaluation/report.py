"""Reports as one HTML page, complete in itself, with the numbers beside it as CSV and JSON. Knows no torch."""

from __future__ import annotations

import csv
import html
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcldm_plugin.errors import InvalidInput

PAPER = Path(__file__).parent / "data" / "paper.csv"
PAPER_COLUMNS = {
    "system": "System", "parameters": "Parameters", "kl_sigma": "KL_σ ↓", "kl": "KL ↓", "fad": "FAD ↓", "fd": "FD ↓",
}  # fmt: skip
HEARD = {"ogl": "OGL ↑", "rel": "REL ↑", "aq": "AQ ↑"}
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1040px;margin:2em auto;padding:0 1em;color:#222;background:#fff}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .8em;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}td.best{font-weight:700}caption{text-align:left;color:#666}
section{display:flex;flex-wrap:wrap;gap:1em}svg{background:#fafafa;font:11px system-ui,sans-serif}
@media(prefers-color-scheme:dark){body{background:#16161c;color:#ddd}svg{background:#ddd}td,th{border-color:#444}}
"""
WIDTH, HEIGHT, MARGIN = 320, 200, 42
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns {field: heading}; a heading with ↓ or ↑ says which value is the best."""

    caption: str
    columns: Mapping[str, str]
    rows: Sequence[Row]

    def html(self) -> str:
        """Columns in which there is nothing are left out."""
        shown = {name: heading for name, heading in self.columns.items() if any(_there(row, name) for row in self.rows)}
        best = {name: _best(self.rows, name, heading) for name, heading in shown.items()}
        head = "".join(f"<th>{html.escape(heading)}</th>" for heading in shown.values())
        body = "".join(
            "<tr>"
            + "".join(
                f"<td{' class=best' if _there(row, name) and row[name] == best[name] else ''}>"
                f"{html.escape(_text(row.get(name)))}</td>"
                for name in shown
            )
            + "</tr>"
            for row in self.rows
        )
        return f"<table><caption>{html.escape(self.caption)}</caption><tr>{head}</tr>{body}</table>"

    def csv(self) -> str:
        """All columns, by the names of their fields."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, list(self.columns), extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return stream.getvalue()


def plot(title: str, x_name: str, points: Sequence[tuple[float, float]]) -> str:
    """An SVG of one curve with its points."""
    xs, ys = zip(*sorted(points), strict=True)
    left, right = min(xs), max(xs)
    low, high = min(ys), max(ys)
    spare = (high - low) * 0.1 or 0.5
    low, high = low - spare, high + spare

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - left) / ((right - left) or 1.0)
        up = (y - low) / (high - low)
        return round(MARGIN + across * (WIDTH - 1.5 * MARGIN), 1), round(
            HEIGHT - MARGIN - up * (HEIGHT - 2 * MARGIN), 1
        )

    placed = [at(x, y) for x, y in zip(xs, ys, strict=True)]
    line = " ".join(f"{x},{y}" for x, y in placed)
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="3" fill="#2a6"/>' for x, y in placed)
    numbers = "".join(
        f'<text x="{x}" y="{HEIGHT - MARGIN + 16}" text-anchor="middle">{_text(value)}</text>'
        for (x, _), value in zip(placed, xs, strict=True)
    ) + "".join(
        f'<text x="{MARGIN - 6}" y="{at(left, value)[1] + 4}" text-anchor="end">{_text(value)}</text>'
        for value in sorted({min(ys), max(ys)})
    )
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{html.escape(title)}">'
        f'<text x="{WIDTH / 2}" y="18" text-anchor="middle" font-weight="bold">{html.escape(title)}</text>'
        f'<polyline points="{line}" fill="none" stroke="#2a6" stroke-width="2"/>{dots}{numbers}'
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">{html.escape(x_name)}</text></svg>'
    )


def sweep_plots(rows: Sequence[Row], columns: Mapping[str, str]) -> list[str]:
    """Figure 2: each metric over the guidance scale, where there is more than one scale."""
    told = [row for row in rows if _there(row, "guidance")]
    if len({row["guidance"] for row in told}) < 2:
        return []
    return [
        plot(heading, "guidance scale w", [(row["guidance"], row[name]) for row in told])
        for name, heading in columns.items()
        if "↓" in heading or "↑" in heading
        if all(_there(row, name) for row in told)
    ]


def paper_tables() -> list[Table]:
    """Tables 1 and 2 as printed."""
    with PAPER.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [
        Table(
            f"Table {number} of the paper as printed (AudioCaps, N = 957). Another list, another N or another loader "
            "of sounds gives other numbers for the same system.",
            PAPER_COLUMNS | HEARD,
            [{name: _number(value) for name, value in row.items()} for row in rows if row["table"] == number],
        )
        for number in ("1", "2")
    ]


def listening_scores(path: Path) -> dict[str, dict[str, float]]:
    """{system: {"ogl": mean, "rel": mean, "aq": mean}} of what `dcldm listen --json` wrote. Raises `InvalidInput`."""
    try:
        systems = json.loads(path.read_text(encoding="utf-8"))["systems"]
        return {name: {scale: float(scales[scale]["mean"]) for scale in HEARD} for name, scales in systems.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path} holds no results of `dcldm listen`; write them with --json.") from error


def page(title: str, notes: Sequence[str], tables: Sequence[Table], plots: Sequence[str] = ()) -> str:
    """The page."""
    said = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{html.escape(title)}</h1>{said}{tables[0].html()}<section>{''.join(plots)}</section>"
        f"{''.join(table.html() for table in tables[1:])}</html>\n"
    )


def write(path: Path, content: str) -> None:
    """A text file that is there in full or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(content, encoding="utf-8")
    os.replace(part, path)


def write_json(path: Path, values: Any) -> None:
    """A JSON file, likewise."""
    write(path, json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def _there(row: Row, name: str) -> bool:
    return row.get(name) not in (None, "")


def _best(rows: Sequence[Row], name: str, heading: str) -> Any:
    values = [row[name] for row in rows if _there(row, name)]
    if len(values) < 2 or not {"↓", "↑"} & set(heading):
        return None
    return min(values) if "↓" in heading else max(values)


def _number(value: str) -> Any:
    try:
        return float(value)
    except ValueError:
        return value


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}" if value % 1 else f"{value:.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    return "–" if value in (None, "") else str(value)
