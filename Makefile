# Thin names for what the TypeScript under dev/, test/ and tools/ does. Every target sets up what it needs on a bare
# Debian 12 machine, and works without a terminal. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Stages share the machine and the cluster: never two at a time, whatever -j or MAKEFLAGS say.
.NOTPARALLEL:

# The pinned Node first on PATH. It is its own statement because a failing $(…) inside an assignment to PATH goes unnoticed.
node := bin=$$(dev/node.sh); export PATH="$$bin:$$PWD/node_modules/.bin:$$PATH";
# npm writes this file last.
modules := node_modules/.package-lock.json

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: prepare ## the main job on a real cluster, explained as it goes (first time: some 20 min of building)
	@$(node) node dev/main.ts up
	@$(node) node dev/main.ts exec -- node dev/demo.ts

test: prepare ## everything but the long list: lint, unit, api, chart, e2e
	@$(lint)
	@$(node) node test/run.ts unit api operator chart e2e

test-long: prepare ## everything, with the long property tests, sweeps and *.long.test.ts (about an hour)
	@$(lint)
	@$(node) node test/run.ts --long unit api operator chart e2e

unit: prepare ## tests of single parts, some with a real S3 server
	@$(node) node test/run.ts unit

api: prepare ## tests against a real etcd and kube-apiserver
	@$(node) node test/run.ts api

chart: prepare ## tests of the Helm chart
	@$(node) node test/run.ts chart

e2e: prepare ## stories on a whole cluster: the local one, or CLUSTER=kubeconfig:<path> CONFIRM=<context>
	@$(node) node test/run.ts operator e2e

define lint
$(node) oxfmt --check .
$(node) oxlint --type-aware
$(node) tsc -p .
$(node) node tools/generate.ts --check
endef
lint: $(modules) ## format, lint rules, types, and whether generated files are fresh
	@$(lint)

generate: $(modules) ## write the generated files anew
	@$(node) node tools/generate.ts

tools: $(modules) ## build the Go programs of cluster and tests into the cache (first time: some 20 min)
	@$(node) node tools/build.ts

cluster-up: prepare ## start the local cluster
	@$(node) node dev/main.ts up

cluster-down: $(modules) ## stop the local cluster and leave nothing running
	@$(node) node dev/main.ts down

cluster-status: $(modules) ## what runs of the local cluster
	@$(node) node dev/main.ts status

shell: $(modules) ## a shell with kubectl and helm for the local cluster
	@$(node) node dev/main.ts exec -- bash

clean: cluster-down ## stop the cluster, remove node_modules and all that was built in the user's cache
	@rm -rf node_modules "$${XDG_CACHE_HOME:-$$HOME/.cache}/backup-operator"

# A cluster that CLUSTER names needs nothing of this machine but Node.
prepare: $(modules)
	@$(node) [[ "$${CLUSTER:-local}" != local ]] || node dev/main.ts preflight

$(modules): package.json package-lock.json
	@$(node) node "$$bin/../../npm/bin/npm-cli.js" ci --ignore-scripts --prefer-offline
	@touch $@

.PHONY: help demo test test-long unit api chart e2e lint generate tools cluster-up cluster-down cluster-status shell clean prepare
