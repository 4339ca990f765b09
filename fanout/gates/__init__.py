"""The gates, in the order in which they are asked; each has a file of its own.

shape (the door's) -> key limit (fanout.limits) -> idempotency -> recipient -> words (template, data, channels)
-> verdicts (category, consent, user limit, schedule, quiet hours) -> dedupe, last and only for what would be sent.
A gate either refuses the request as a whole (RequestRefused: nothing is kept) or leaves a Decision with its inputs.
To peek is to ask the same gates inside a transaction that is rolled back (fanout.accept.peek).
"""
