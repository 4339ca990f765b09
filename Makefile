# Shortcuts for people used to make; ./carillon --help has them all.
.PHONY: up demo test check migrate

up demo test check migrate:
	./carillon $@
