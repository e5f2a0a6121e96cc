"""The way to the DAWs: an OSC API of our own and one module per host. Knows no torch and no Qt."""
