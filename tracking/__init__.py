"""The ledger: the only SQL that writes notifications, deliveries, events and the outbox."""
