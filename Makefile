# Works with make, npm and any Node >= 20 on the PATH: what runs here is the Node 24 that npm installs (package "node").
SHELL := bash
# Not exported: npm itself must not run on the Node that it is replacing.
RUN := PATH="$(CURDIR)/node_modules/.bin:$$PATH"
INSTALLED := node_modules/.package-lock.json

.PHONY: help run test check bench install generate format
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

run: $(INSTALLED) ## start four demo model servers and Sluice in front of them
	@$(RUN) node examples/demo/run.ts

test: $(INSTALLED) ## run every test, those on a real kube-apiserver and etcd included
	@test/assets/fetch && test/assets/fetch-python
	@$(RUN) CI=true vitest run --reporter=default --reporter=./test/support/closing-line.ts

check: $(INSTALLED) ## generated files up to date, types, lint and imports, unused code, promises and tests
	@$(RUN) node crds/generate.ts --check
	@$(RUN) tsc
	@$(RUN) biome ci --error-on-warnings
	@$(RUN) knip
	@$(RUN) node test/check/promises.ts

bench: $(INSTALLED) ## measure ratios against floors
	@$(RUN) node test/bench/run.ts

install: $(INSTALLED) ## install the packages of package-lock.json

$(INSTALLED): package-lock.json
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@

generate: $(INSTALLED) ## write what follows from the schemas: CRDs, the chart's copy, docs/api.md
	@$(RUN) node crds/generate.ts

format: $(INSTALLED) ## format, and fix what can be fixed
	@$(RUN) biome check --write
