"""Tells tenants' webhooks what became of their deliveries."""
