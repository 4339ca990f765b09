"""The doors at the other end of the queues: claim, render, send, finish, settle."""
