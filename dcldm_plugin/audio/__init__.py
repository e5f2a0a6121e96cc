"""Finishing of rendered sound, and the WAV files that it is delivered in."""
