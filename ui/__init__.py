"""The companion window. It comes in a later release."""
