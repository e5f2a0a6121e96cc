"""The process in which a backend runs, and the few JSON lines that it speaks."""
