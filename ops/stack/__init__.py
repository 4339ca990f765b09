"""One code path to PostgreSQL, Redis and RabbitMQ on this machine, found or started three ways."""
