"""Trouble on purpose: servers die, wires are cut, providers break their word; the proof that nothing was lost."""
