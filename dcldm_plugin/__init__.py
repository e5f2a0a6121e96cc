"""The making, keeping and finishing of sound. Knows no window, no network and no DAW."""

__version__ = "0.1.0"
