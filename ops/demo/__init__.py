"""The main job before your eyes: a few real notifications, each step shown, the providers' own ledger compared."""
