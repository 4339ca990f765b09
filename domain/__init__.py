"""Words and rules of notification, in the standard library only: every other room may import this one."""
