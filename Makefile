# Tasks of a checkout. Needs Python 3.11 or later, make and git; everything else goes into .venv.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run test test-slow tools check format bench bench-web screenshots translations faults fair fuzz docs lock clean apt apt-slow

VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' Makefile

run: $(VENV)/run.stamp ## Run AREA here: database, web and worker, at http://127.0.0.1:8080
	@exec $(BIN)/area up

# Always write bytecode: rewriting the assertions of every test takes each worker 10 s of CPU.
test: tools ## Run the tests (some of them: ARGS="tests/engine -k retry")
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 4 --dist worksteal $(ARGS)

test-slow: tools $(VENV)/servers/synapse.stamp $(VENV)/servers/home_assistant.stamp $(VENV)/servers/vendors.stamp $(VENV)/servers/bluesky.stamp apt-slow ## Run the slow tests too, against larger servers (an hour at most)
	PYTHONDONTWRITEBYTECODE= timeout 3600 $(BIN)/pytest -n 2 --dist worksteal -m slow $(ARGS)

tools: $(VENV)/dev.stamp $(VENV)/npm.stamp $(VENV)/servers/canaille.stamp apt

check: $(VENV)/dev.stamp ## Check formatting, style, imports and types
	@$(BIN)/mypy > $(VENV)/mypy.log 2>&1 & types=$$!; failed=; \
	for tool in "ruff format --check" "ruff check" lint-imports; do \
	    echo "$$tool"; $(BIN)/$$tool || failed="$$failed, $$tool"; \
	done; echo mypy; wait $$types || failed="$$failed, mypy"; cat $(VENV)/mypy.log; \
	if [ -n "$$failed" ]; then echo "failed:$${failed#,}" >&2; exit 1; fi

format: $(VENV)/dev.stamp ## Format the code and apply ruff's fixes
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(VENV)/dev.stamp ## Run the benchmarks (ARGS go to the benchmark)
	$(BIN)/python -m bench $(ARGS)

bench-web: $(VENV)/dev.stamp ## Measure the pages in Chromium: bytes, server time, LCP, CLS
	$(BIN)/python -m bench.web $(ARGS)

screenshots: $(VENV)/dev.stamp ## Save a screenshot of every page in screenshots/
	$(BIN)/python -m tests.web.screenshots $(ARGS)

faults: $(VENV)/dev.stamp ## Kill, freeze and disconnect parts of a running AREA, and count lost and duplicate runs
	$(BIN)/python -m tests.faults $(ARGS)

fair: $(VENV)/dev.stamp ## Attack a running AREA as one user, and measure the effect on another (ARGS name attacks)
	$(BIN)/python -m tests.fair $(ARGS)

fuzz: $(VENV)/dev.stamp ## Feed broken feeds, calendars, mails, hook bodies and answers to the readers (ARGS="--minutes 60")
	$(BIN)/python -m tests.fuzz $(ARGS)

docs: $(VENV)/dev.stamp ## Generate docs/reference/ from the code
	$(BIN)/python -m area.cli.reference

translations: $(VENV)/dev.stamp ## Collect sentences for translation
	$(BIN)/python -m area.web.translate

lock: $(VENV)/dev.stamp ## Update requirements*.txt to the newest versions that pyproject.toml allows
	$(LOCK) --group build --output-file requirements.txt
	$(LOCK) --group dev --output-file requirements-dev.txt
	for server in canaille home_assistant synapse vendors; do \
	    $(subst pyproject.toml,tests/servers/$$server.in,$(LOCK)) --output-file tests/servers/$$server.txt || exit 1; \
	done

clean: ## Remove generated files, including .venv but not data/
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# Write no registry URL: everyone has their own.
LOCK = $(BIN)/uv pip compile pyproject.toml --universal --upgrade --generate-hashes --no-emit-index-url \
	--no-annotate --no-header --quiet

# uv is ten times as fast as pip, but pip knows this machine's package index: pip installs uv, uv the rest.
INDEX = index=$${PIP_INDEX_URL:-$$(python3 -m pip config get global.index-url 2>/dev/null || true)}; \
	if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$index}"; fi; \
	if [ -n "$$PIP_CERT" ]; then export SSL_CERT_FILE="$${SSL_CERT_FILE:-$$PIP_CERT}"; fi;

# The package itself is installed from the checkout, offline, after the build group. Compiling it here makes it start faster if
# PYTHONDONTWRITEBYTECODE is set.
define INSTALL
	@$(INDEX) \
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes --requirement $(1) || { \
	    echo "uv failed; trying pip, which is slower." >&2; \
	    $(BIN)/python -m ensurepip >/dev/null && \
	    $(BIN)/python -m pip install --quiet --require-hashes --requirement $(1); }
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --offline --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q src/area
endef

WEB := package-lock.json hatch_build.py src/area/web/icons.txt $(wildcard src/area/connectors/*/logo.txt src/area/connectors/*/build.py)

$(VENV)/run.stamp: requirements.txt pyproject.toml $(WEB) | $(BIN)/uv
	@echo "Installing into $(VENV) ..."
	$(call INSTALL,requirements.txt)
	@touch $@

$(VENV)/dev.stamp: requirements.txt requirements-dev.txt pyproject.toml $(WEB) | $(BIN)/uv
	@echo "Installing into $(VENV), with test dependencies ..."
	$(call INSTALL,requirements-dev.txt)
	@touch $@ $(VENV)/run.stamp

$(VENV)/npm.stamp: tests/npm/package-lock.json tests/npm/documents/package-lock.json tests/npm/__init__.py $(VENV)/dev.stamp
	@$(BIN)/python -m tests.npm && touch $@ || echo "npm could not install what some tests need; those are skipped." >&2

# Servers for the tests that want other packages than AREA's: each has an environment of its own.
$(VENV)/servers/%.stamp: tests/servers/%.txt | $(VENV)/dev.stamp
	@$(INDEX) \
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)/servers/$* && \
	$(BIN)/uv pip install --quiet --python $(VENV)/servers/$*/bin/python --require-hashes --requirement $< && touch $@ || \
	    echo "uv could not install $*; tests that need it are skipped." >&2

$(VENV)/servers/bluesky.stamp: tests/servers/bluesky/package-lock.json | $(VENV)/npm.stamp
	@$(BIN)/python -m tests.bluesky_network && touch $@ || \
	    echo "npm could not install Bluesky's network; tests that need it are skipped." >&2

# Use Python's own pip for the new environment if possible (22.3 or later); installing another pip there takes seconds.
$(BIN)/uv: | requirements.txt
	@for python in $(PYTHON) python3.11 python3 python3.12 python3.13 python3.14 python; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; python=; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "AREA needs Python 3.11 or later. Install it, or set its path: make PYTHON=/path/to/python3.11" >&2; exit 1; \
	fi; \
	echo "Creating $(VENV) with $$($$python --version) ..."; \
	{ $(BIN)/python -c '' 2>/dev/null || $$python -m venv --clear --without-pip $(VENV); } && \
	awk '/^[a-z]/ {uv = /^uv==/} uv' requirements.txt > $(VENV)/uv.txt && \
	{ $$python -m pip --quiet --python $(BIN)/python install --require-hashes --requirement $(VENV)/uv.txt 2>$(VENV)/pip.log || \
	  { $(BIN)/python -m ensurepip >/dev/null && \
	    $(BIN)/python -m pip install --quiet --require-hashes --requirement $(VENV)/uv.txt; } || \
	  { cat $(VENV)/pip.log >&2; echo "If venv or pip is missing, on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; }

# Real servers for the connectors' tests, and a browser for the pages'. policy-rc.d keeps Debian from starting their services.
PEERS := dovecot-imapd mosquitto radicale rabbitmq-server prometheus-alertmanager chromium-headless-shell nginx-light caddy
# Servers that apt would install in place of others, or start, are unpacked, with the libraries that they need.
UNPACKED := libnss-wrapper exim4-daemon-light libidn12 cyrus-imapd cyrus-common libical3 libxapian30 libpcre3
UNPACKED_SLOW := redis-tools libjemalloc2 liblzf1

# Unpack packages (1) into .venv/peers unless programs (2) are there.
define UNPACK
	@peers=$(abspath $(VENV))/peers; missing=; for program in $(2); do [ -e $$peers/$$program ] || missing=1; done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    packages=$$(mktemp -d) && cd $$packages && mkdir -p $$peers && apt-get update -qq && \
	    for package in $(1); do \
	        apt-get -o APT::Sandbox::User=root download -qq $$package >/dev/null && dpkg -x $${package}_*.deb $$peers \
	        || echo "$$package could not be unpacked; tests that need it are skipped." >&2; \
	    done; \
	    chmod -f u-s $$peers/usr/sbin/exim4; rm -r $$packages; \
	fi
endef

# Install packages (1) if one is missing.
define APT
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! dpkg -s $(1) >/dev/null 2>&1; then \
	    policy=/usr/sbin/policy-rc.d; kept=; \
	    if [ -e $$policy ]; then kept=$$(mktemp) && cp -p $$policy $$kept; fi; \
	    printf '#!/bin/sh\nexit 101\n' > $$policy && chmod 755 $$policy; \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(1) \
	        </dev/null >/dev/null; } \
	    || echo "$(1) could not be installed; tests that need them are skipped." >&2; \
	    if [ -n "$$kept" ]; then cp -p $$kept $$policy && rm $$kept; else rm -f $$policy; fi; \
	fi
endef

apt:
	$(call APT,$(PEERS))
	$(call UNPACK,$(UNPACKED),usr/sbin/exim4 usr/sbin/cyrmaster)

apt-slow:
	$(call APT,postgresql)
	$(call UNPACK,$(UNPACKED_SLOW),usr/bin/redis-server)
