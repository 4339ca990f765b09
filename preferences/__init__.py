"""What people allow: their addresses, categories, consent and quiet hours."""
