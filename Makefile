# Thin names for the commands that matter; scripts/test.sh runs all of the checks.

.PHONY: build test lint demo fuzz bench-latency bench-replica bench-fanout bench-sessions

# The binary, in bin/curfew.
build:
	go build -trimpath -o bin/curfew ./cmd/curfew

# Everything that must pass before a change is merged.
test:
	./scripts/test.sh

lint:
	golangci-lint run ./...

# One logout from end to end, on this machine.
demo:
	go run ./cmd/curfew demo

# One target for as long as it takes: make fuzz PKG=./events NAME=FuzzDecode FUZZTIME=10m
FUZZTIME ?= 5m
fuzz:
	go test -run '^$$' -fuzz '^$(NAME)$$' -fuzztime $(FUZZTIME) $(PKG)

# How long a revocation takes to reach a replica and a tab.
bench-latency:
	go run ./cmd/curfew demo --bench

# The replica beside what one would write or pick in its place: COUNT, SIZES, STEPS and OUT as scripts/bench-replica.sh --help says. Let nothing else run.
bench-replica:
	./scripts/bench-replica.sh

# The gateway with tens of thousands of tabs: COUNT, STEPS, MOST, SPREAD, WINDOW and OUT as scripts/bench-fanout.sh --help says. Let nothing else run.
bench-fanout:
	./scripts/bench-fanout.sh

# The registry with 100,000 users of three sessions each, in JetStream and in Redis: COUNT rounds. Let nothing else run.
COUNT ?= 3
bench-sessions:
	go test -run '^$$' -bench BenchmarkRegistry -benchtime 1000x -count $(COUNT) -timeout 60m ./test/bench
