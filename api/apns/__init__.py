"""The provider door: what speaks to Apple's push service can speak to us."""
