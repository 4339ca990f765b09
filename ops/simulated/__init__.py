"""Real servers that play providers: scripted answers and a ledger."""
