"""The verbs of ./carillon."""
