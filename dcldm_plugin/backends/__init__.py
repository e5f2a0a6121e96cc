"""What makes sound: one file a backend, all behind the same `Backend` protocol."""
