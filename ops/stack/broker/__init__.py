"""A small AMQP 0-9-1 broker in memory, for machines without RabbitMQ: what the platform uses of it, no more.

It speaks to any client, but what it does not know it refuses. Nothing survives its end; that is safe, because
PostgreSQL is the truth and the sweeper publishes again what a broker forgot.
"""
