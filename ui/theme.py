"""Colours, type and icons: two palettes of named tones, one style sheet, icons drawn in the text's colour."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from PyQt6.QtCore import QByteArray, QObject, QRectF, QSize, Qt
from PyQt6.QtGui import QAction, QColor, QGuiApplication, QIcon, QPainter, QPalette, QPixmap
from PyQt6.QtSvg import QSvgRenderer
from PyQt6.QtWidgets import QAbstractButton, QApplication


@dataclass(frozen=True, slots=True)
class Tones:
    """`text` and `dim` have a contrast of at least 4.5 : 1 on the first three (WCAG 2.2, 1.4.3)."""

    window: str
    surface: str
    raised: str
    line: str
    text: str
    dim: str
    accent: str
    on_accent: str
    wave: str
    good: str
    bad: str
    selected: str


DARK = Tones(
    window="#151619",
    surface="#1b1d21",
    raised="#26292f",
    line="#33373f",
    text="#e8e9ec",
    dim="#9ba1ab",
    accent="#f0b35a",
    on_accent="#241803",
    wave="#7f9fb8",
    good="#7cc49a",
    bad="#f08a7c",
    selected="#2a3038",
)
LIGHT = Tones(
    window="#f1f1ee",
    surface="#fbfbf9",
    raised="#e7e7e2",
    line="#d3d3cc",
    text="#1c1e22",
    dim="#585d66",
    accent="#8f5200",
    on_accent="#ffffff",
    wave="#47708f",
    good="#1d6b41",
    bad="#a5281b",
    selected="#e3e8ec",
)
THEMES = ("system", "dark", "light")

_SHEET = """
* {{ outline: 0; }}
QWidget {{ color: {text}; }}
QMainWindow, QDialog, #page {{ background: {window}; }}
QToolTip {{ background: {raised}; color: {text}; border: 1px solid {line}; padding: 4px 6px; }}
#card {{ background: {surface}; border: 1px solid {line}; border-radius: 8px; }}
#dim {{ color: {dim}; }}
#title {{ font-weight: 600; }}
#error {{ color: {bad}; }}
#good {{ color: {good}; }}
#banner {{ background: {raised}; border: 1px solid {line}; border-radius: 6px; }}
QPlainTextEdit, QLineEdit, QAbstractSpinBox, QComboBox, QKeySequenceEdit {{
  background: {window}; border: 1px solid {line}; border-radius: 5px; padding: 3px 6px;
  selection-background-color: {accent}; selection-color: {on_accent};
}}
QPlainTextEdit#prompt {{ background: transparent; border: 0; padding: 0; }}
QPlainTextEdit:focus, QLineEdit:focus, QAbstractSpinBox:focus, QComboBox:focus, QKeySequenceEdit:focus,
QListView:focus, QTableView:focus {{ border: 1px solid {accent}; }}
QPlainTextEdit#prompt:focus {{ border: 0; }}
QComboBox::drop-down {{ border: 0; width: 20px; }}
QComboBox::down-arrow {{ image: url("{arrow}"); width: 12px; height: 12px; }}
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button {{ width: 0; border: 0; }}
QComboBox QAbstractItemView, QMenu {{
  background: {raised}; border: 1px solid {line}; selection-background-color: {selected}; selection-color: {text};
}}
QMenu::item {{ padding: 5px 22px 5px 14px; }}
QMenu::item:selected {{ background: {selected}; }}
QMenu::item:disabled {{ color: {dim}; }}
QMenu::separator {{ height: 1px; background: {line}; margin: 4px 0; }}
QPushButton, QToolButton {{
  background: {raised}; border: 1px solid {line}; border-radius: 5px; padding: 4px 10px;
}}
QToolButton {{ padding: 4px 6px; }}
QPushButton:hover, QToolButton:hover {{ border-color: {dim}; }}
QPushButton:pressed, QToolButton:pressed {{ background: {selected}; }}
QPushButton:focus, QToolButton:focus {{ border-color: {accent}; }}
QPushButton:disabled, QToolButton:disabled {{ color: {dim}; background: {surface}; }}
QPushButton:checked, QToolButton:checked {{ background: {selected}; border-color: {accent}; color: {accent}; }}
QPushButton#primary {{ background: {accent}; color: {on_accent}; border-color: {accent}; font-weight: 600;
  padding: 5px 16px; }}
QPushButton#primary:hover {{ border-color: {text}; }}
QPushButton#primary:focus {{ border: 2px solid {text}; padding: 4px 15px; }}
QPushButton#primary:disabled {{ background: {raised}; color: {dim}; border-color: {line}; }}
QToolButton#flat, QPushButton#flat {{ background: transparent; border-color: transparent; }}
QToolButton#flat:hover, QPushButton#flat:hover {{ background: {raised}; }}
QToolButton#flat:focus, QPushButton#flat:focus {{ border-color: {accent}; }}
QToolButton#flat:checked {{ color: {accent}; background: {selected}; }}
QPushButton#link {{ background: transparent; border: 1px solid transparent; color: {accent}; padding: 1px 3px;
  text-align: left; }}
QPushButton#link:focus {{ border-color: {accent}; }}
QPushButton#tab {{ background: transparent; border: 0; border-radius: 0; padding: 7px 4px 6px 4px; color: {dim};
  border-bottom: 2px solid transparent; margin: 0 6px; }}
QPushButton#tab:hover {{ color: {text}; }}
QPushButton#tab:checked {{ color: {text}; border-bottom-color: {accent}; background: transparent; }}
QPushButton#tab:focus {{ border-bottom-color: {text}; }}
QListView, QTableView, QScrollArea {{ background: {surface}; border: 1px solid {line}; border-radius: 8px; }}
QScrollArea#bare, #bare {{ background: transparent; border: 0; }}
QTableView {{ gridline-color: {line}; selection-background-color: {selected}; selection-color: {text}; }}
QHeaderView {{ background: {surface}; border: 0; }}
QHeaderView::section {{ background: {surface}; color: {dim}; border: 0; border-bottom: 1px solid {line};
  padding: 5px 8px; }}
QHeaderView::section:vertical {{ border-bottom: 0; }}
QTableCornerButton::section {{ background: {surface}; border: 0; }}
QScrollBar:vertical {{ background: transparent; width: 10px; margin: 2px; }}
QScrollBar:horizontal {{ background: transparent; height: 10px; margin: 2px; }}
QScrollBar::handle {{ background: {line}; border-radius: 3px; min-height: 28px; min-width: 28px; }}
QScrollBar::handle:hover {{ background: {dim}; }}
QScrollBar::add-line, QScrollBar::sub-line, QScrollBar::add-page, QScrollBar::sub-page {{ background: none;
  border: 0; width: 0; height: 0; }}
QSlider::groove:horizontal {{ height: 3px; background: {line}; border-radius: 1px; }}
QSlider::sub-page:horizontal {{ background: {accent}; border-radius: 1px; }}
QSlider::handle:horizontal {{ background: {text}; width: 12px; height: 12px; margin: -5px 0; border-radius: 6px; }}
QSlider::handle:horizontal:focus {{ background: {accent}; }}
QSlider::handle:horizontal:disabled, QSlider::sub-page:horizontal:disabled {{ background: {line}; }}
QCheckBox {{ spacing: 6px; }}
QCheckBox::indicator {{ width: 14px; height: 14px; border: 1px solid {dim}; border-radius: 3px;
  background: {window}; }}
QCheckBox::indicator:checked {{ background: {accent}; border-color: {accent}; image: url("{check}"); }}
QCheckBox::indicator:disabled {{ border-color: {line}; }}
QCheckBox:focus {{ color: {accent}; }}
QCheckBox:disabled {{ color: {dim}; }}
QSplitter::handle {{ background: transparent; }}
QProgressBar {{ background: {window}; border: 0; border-radius: 2px; max-height: 4px; }}
QProgressBar::chunk {{ background: {accent}; border-radius: 2px; }}
"""

_STAR = "m12 3.5 2.6 5.4 5.9.8-4.3 4.1 1 5.9-5.2-2.8-5.2 2.8 1-5.9-4.3-4.1 5.9-.8z"
# 24 x 24, strokes of 2 with round ends, in the manner of Feather (https://feathericons.com) but drawn for this.
_ICONS = {
    "play": '<path d="M7 4.5 19 12 7 19.5z" fill="currentColor"/>',
    "stop": '<rect x="6" y="6" width="12" height="12" rx="1" fill="currentColor"/>',
    "loop": '<path d="M4 11a6 6 0 0 1 6-6h9m-3-3 3 3-3 3M20 13a6 6 0 0 1-6 6H5m3 3-3-3 3-3"/>',
    "match": '<path d="M4 9v6M8 6v12M12 9v6M16 6v12M20 9v6"/>',
    "spectrogram": '<path d="M4 20V10M8 20V4M12 20v-7M16 20V8M20 20v-5"/>',
    "star": f'<path d="{_STAR}"/>',
    "starred": f'<path d="{_STAR}" fill="currentColor"/>',
    "close": '<path d="M6 6l12 12M18 6 6 18"/>',
    "retry": '<path d="M20 5v5h-5M19.5 10A8 8 0 1 0 20 14"/>',
    "insert": '<path d="M12 3v11m-4-4 4 4 4-4M4 20h16"/>',
    "takes": '<path d="M4 6h16M4 12h16M4 18h10"/>',
    "reveal": '<path d="M3 7a2 2 0 0 1 2-2h4l2 2h8a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2z"/>',
    "copy": '<rect x="9" y="9" width="11" height="11" rx="2"/><path d="M15 5H6a2 2 0 0 0-2 2v9"/>',
    "lock": '<rect x="5" y="11" width="14" height="9" rx="2"/><path d="M8 11V8a4 4 0 0 1 8 0v3"/>',
    "unlock": '<rect x="5" y="11" width="14" height="9" rx="2"/><path d="M8 11V8a4 4 0 0 1 7.5-2"/>',
    "more": '<path d="M5 8l7 7 7-7"/>',
    "less": '<path d="M5 15l7-7 7 7"/>',
    "pin": '<path d="M9 4h6l-1 6 3 3H7l3-3zM12 13v7"/>',
    "grip": '<path d="M9 6h.01M15 6h.01M9 12h.01M15 12h.01M9 18h.01M15 18h.01" stroke-width="3"/>',
    "wait": '<circle cx="12" cy="12" r="8"/><path d="M12 8v4l3 2"/>',
    "work": '<path d="M12 3v4M12 17v4M3 12h4M17 12h4M6 6l2.5 2.5M15.5 15.5 18 18M18 6l-2.5 2.5M8.5 15.5 6 18"/>',
    "done": '<path d="m5 12.5 4.5 4.5L19 7.5"/>',
    "warn": '<path d="M12 4 2.5 20h19zM12 10v4M12 17h.01"/>',
    "up": '<path d="M12 19V5m-6 6 6-6 6 6"/>',
    "down": '<path d="M12 5v14m-6-6 6 6 6-6"/>',
    "search": '<circle cx="11" cy="11" r="6"/><path d="m20 20-4.5-4.5"/>',
    "menu": '<path d="M5 12h.01M12 12h.01M19 12h.01" stroke-width="3"/>',
    "info": '<circle cx="12" cy="12" r="8.5"/><path d="M12 11v5M12 8h.01"/>',
    "fit": '<path d="M4 5v14M20 5v14M8 12h8M10.5 9.5 8 12l2.5 2.5M13.5 9.5 16 12l-2.5 2.5"/>',
    "replace": '<path d="M4 8h13m-3-3 3 3-3 3M20 16H7m3-3-3 3 3 3"/>',
    "ear": '<path d="M4 10v4M8 7v10M12 4v16M16 8v8M20 10.5v3"/>',
}

_PICTURES = Path(__file__).parent / "icons"  # a style sheet takes pictures from files only
_ICON_NAME = "dcldm icon"  # the property that remembers which one
_current = DARK


def tones() -> Tones:
    """The palette in use."""
    return _current


def apply(application: QApplication, theme: str) -> None:
    """Dress the whole application: "dark", "light", or as the system has it (dark where that can't be known)."""
    global _current
    light = theme == "light"
    hints = QGuiApplication.styleHints()
    if theme == "system" and hints is not None:
        light = hints.colorScheme() is Qt.ColorScheme.Light
    _current = LIGHT if light else DARK
    forget()
    application.setStyle("Fusion")
    application.setPalette(_palette(_current))
    check = f"check-{'light' if light else 'dark'}.svg"
    pictures = {"arrow": (_PICTURES / "down.svg").as_posix(), "check": (_PICTURES / check).as_posix()}
    application.setStyleSheet(_SHEET.format(**asdict(_current), **pictures))
    for window in application.topLevelWidgets():
        for dressed in (window, *window.findChildren(QObject)):
            if name := dressed.property(_ICON_NAME):
                dressed.setIcon(icon(name))  # type: ignore[attr-defined]  # only what takes icons has the property


def set_icon(dressed: QAction | QAbstractButton, name: str) -> None:
    """Give it an icon that follows the look of the application."""
    dressed.setProperty(_ICON_NAME, name)
    dressed.setIcon(icon(name))


def forget() -> None:
    """Let go of all pictures. They must not outlive the application object."""
    icon.cache_clear()
    pixmap.cache_clear()


def _palette(tone: Tones) -> QPalette:
    palette = QPalette()
    roles = {
        QPalette.ColorRole.Window: tone.window,
        QPalette.ColorRole.Base: tone.surface,
        QPalette.ColorRole.AlternateBase: tone.raised,
        QPalette.ColorRole.Button: tone.raised,
        QPalette.ColorRole.WindowText: tone.text,
        QPalette.ColorRole.Text: tone.text,
        QPalette.ColorRole.ButtonText: tone.text,
        QPalette.ColorRole.PlaceholderText: tone.dim,
        QPalette.ColorRole.Highlight: tone.accent,
        QPalette.ColorRole.HighlightedText: tone.on_accent,
        QPalette.ColorRole.Link: tone.accent,
        QPalette.ColorRole.ToolTipBase: tone.raised,
        QPalette.ColorRole.ToolTipText: tone.text,
    }
    for role, colour in roles.items():
        palette.setColor(role, QColor(colour))
    for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor(tone.dim))
    return palette


@lru_cache(maxsize=512)
def pixmap(name: str, colour: str, size: int, ratio: float) -> QPixmap:
    """An icon of `size` logical pixels in one colour."""
    drawing = _ICONS[name].replace("currentColor", colour)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><g fill="none" stroke="{colour}" '
        f'stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round">{drawing}</g></svg>'
    )
    picture = QPixmap(QSize(round(size * ratio), round(size * ratio)))
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    QSvgRenderer(QByteArray(svg.encode())).render(painter, QRectF(0, 0, picture.width(), picture.height()))
    painter.end()
    picture.setDevicePixelRatio(ratio)
    return picture


@lru_cache(maxsize=128)
def icon(name: str) -> QIcon:
    """An icon for buttons: in the accent where it is checked, dim where it is disabled."""
    made = QIcon()
    for ratio in {screen.devicePixelRatio() for screen in QGuiApplication.screens()}:
        for colour, mode, state in (
            (_current.text, QIcon.Mode.Normal, QIcon.State.Off),
            (_current.accent, QIcon.Mode.Normal, QIcon.State.On),
            (_current.line, QIcon.Mode.Disabled, QIcon.State.Off),
        ):
            made.addPixmap(pixmap(name, colour, 16, ratio), mode, state)
    return made
