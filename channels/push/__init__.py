"""Push over our own gateway: registry, presence, mailbox, connections."""
