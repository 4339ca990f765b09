"""The figures of the README, reproduced by a command: each beside what one would take instead, in the same run."""
