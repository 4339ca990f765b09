"""One notification to many deliveries: gates, plan, publish."""
