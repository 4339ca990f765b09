"""RabbitMQ, data first: what is declared, how an envelope looks, how it is published and consumed."""
