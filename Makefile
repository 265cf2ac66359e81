# Two commands matter on a fresh machine: `make run` and `make test`. The rest is for people who work on Sightline.
# Every target sets up what it needs through ops/setup.sh, which does nothing the second time.

PY := .venv/bin/python

.PHONY: run test sanitize check lint bench quality fuzz debug compile web wheel protos lock format clean

run:            ## set up everything and start it on http://localhost:3000
	@sh ops/setup.sh run
	@exec .venv/bin/sightline up $(ARGS)

test:           ## everything: unit, scenarios, browsers, foreign clients
	@sh ops/setup.sh test
	@$(PY) -m pytest $(ARGS)
	@. ops/node-path.sh && cd web && npm test --silent
	@[ -n "$(ARGS)" ] || sh ops/sanitize.sh

sanitize:       ## the plane's tests under AddressSanitizer and UndefinedBehaviorSanitizer (part of `make test`)
	@sh ops/setup.sh dev
	@sh ops/sanitize.sh $(ARGS)

check:          ## the fast loop, about two minutes on two cores: lint, and every test that drives no browser, side by side
	@sh ops/setup.sh dev
	@$(MAKE) --no-print-directory lint
	@SIGHTLINE_FUZZ_SECONDS=$${SIGHTLINE_FUZZ_SECONDS:-0.3} $(PY) -m pytest -m "not slow" \
		-n $$(($$(nproc) + 1)) --dist worksteal $(ARGS)

lint:           ## style, types, import rules, generated files, the web client's lint
	@sh ops/setup.sh dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) -m pytest tests/test_floorplan.py
	$(PY) -m protos.generate --check
	. ops/node-path.sh && cd web && npm run --silent lint

bench:          ## one publisher to N viewers through a real node: CPU per forwarded packet, delay, loss
	@sh ops/setup.sh dev
	@.venv/bin/sightline bench fanout $(ARGS)

quality:        ## what a Chromium viewer sees on bad links, three runs: build/quality.json and a table (about ten minutes, root)
	@sh ops/setup.sh test
	@$(PY) -m tests.foreign.quality $(ARGS)

fuzz:           ## every *_untrusted function for SIGHTLINE_FUZZ_SECONDS each (default here: 300)
	@sh ops/setup.sh dev
	@SIGHTLINE_FUZZ_SECONDS=$${SIGHTLINE_FUZZ_SECONDS:-300} $(PY) -m pytest tests/fuzz $(ARGS)

compile:        ## rebuild the plane after editing a .pyx or .pxd, or a .py that has a .pxd beside it
	@sh ops/setup.sh compile

debug:          ## rebuild the plane with bounds checks and line tracing
	@RTPFWD_DEBUG=1 sh ops/setup.sh compile

web:            ## rebuild the web client
	@sh ops/setup.sh web

wheel:          ## dist/*.whl with the compiled plane and the web client inside
	@sh ops/setup.sh dev
	@sh ops/setup.sh web
	@$(PY) -m build

protos:         ## regenerate protos/*_pb2.py after editing media.proto
	@sh ops/setup.sh dev
	$(PY) -m protos.generate

lock:           ## recompute requirements/*.txt from pyproject.toml (needs uv)
	sh ops/lock.sh

format:         ## rewrite the sources in the house style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:          ## forget everything that was built or installed here
	rm -rf .venv .node build dist *.egg-info web/node_modules web/.next web/out
	find rtpfwd bench server -name '*.so' -delete
