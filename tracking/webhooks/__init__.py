"""Status webhooks in the database: who listens, what is to be told to whom, and what became of it."""
