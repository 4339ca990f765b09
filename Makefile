# Shortcuts for people used to make; ./carillon --help has them all.
.PHONY: up demo test check migrate

up demo test check migrate:
	./carillon $@

# Resolve the dependencies anew; hashes and no hosts, so that any index or mirror serves (docs/decisions/0002).
.PHONY: locks
RESOLVE = .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --no-emit-index-url
COMPILE = $(RESOLVE) pyproject.toml
locks:
	$(COMPILE) --output-file locks/run.txt
	$(COMPILE) --group local --constraints locks/run.txt --output-file locks/local.txt
	$(COMPILE) --group local --group test --constraints locks/local.txt --output-file locks/test.txt
	$(RESOLVE) --python-version 3.11 --group bench --constraints locks/test.txt --output-file locks/bench.txt
