"""Pipes to PostgreSQL, Redis and RabbitMQ, and what runs along them: settings, limits, logs, metrics."""
