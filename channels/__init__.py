"""Ways to reach a person, and what keeps a provider from hurting us or we from hurting it."""
