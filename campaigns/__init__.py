"""Audiences, schedules and pacing: one campaign to batches of notifications. Its rooms are built with campaigns."""
