"""The public HTTP doors."""
