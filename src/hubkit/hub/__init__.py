"""The hub: a face for users, and behind it the shell around one core. Floor 4."""
