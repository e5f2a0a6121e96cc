"""`dcldm ucs WORDS` and `dcldm install ucs FILE`: categories of the Universal Category System."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dcldm_plugin.commands import Parser
from dcldm_plugin.settings import load
from dcldm_plugin.ucs import TABLE, Table, install


def main(arguments: Sequence[str]) -> int:
    """Print the likeliest categories of a sound in words: CatID, category and subcategory, one a line."""
    parser = Parser("ucs", "Suggest UCS categories for a sound in words, the likeliest first.")
    parser.add_argument("words", nargs="+", metavar="WORDS", help="what is to be heard")
    parser.add_argument("--count", type=int, default=5, metavar="N", help="how many (else 5)")
    options = parser.parse_args(arguments)
    for row in Table.load(load(options.home).home).suggest(" ".join(options.words), max(1, options.count)):
        print(f"{row.cat_id}\t{row.category}-{row.sub_category}")
    return 0


def install_main(arguments: Sequence[str]) -> int:
    """Put a downloaded UCS list in the place of ours."""
    parser = Parser("install ucs", "Use the official UCS list, as a downloaded CSV or XLSX, in place of ours.")
    parser.add_argument("file", type=Path, metavar="FILE", help="the sheet from universalcategorysystem.com")
    options = parser.parse_args(arguments)
    home = load(options.home).home
    table = install(options.file, home)
    print(f"{len(table.rows)} categories are in use from now on; delete {home / TABLE} to return to ours.")
    return 0
