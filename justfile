# `just` lists the recipes; the commands themselves are in .ci/run and ./test, which CI runs too.

_default:
    @just --list --unsorted

# all tests, those on a real Docker Swarm included; arguments as for `cargo test`
test *arguments:
    ./test {{arguments}}

# 2,000 random sequences on the embedded Swarm and a real one, and 60 with tasks; CI runs 300 and 15
conform *arguments:
    SKEP_CONFORM_API=${SKEP_CONFORM_API:-2000} SKEP_CONFORM_TASKS=${SKEP_CONFORM_TASKS:-60} \
        ./test --test conform -- {{arguments}}

# everything that CI checks
ci:
    .ci/run

# clippy, warnings are errors
lint:
    .ci/run lint

# is everything formatted?
fmt-check:
    .ci/run fmt

# format everything
fmt:
    cargo fmt

# the API documentation, warnings are errors
docs:
    .ci/run docs

# licences, banned and duplicate crates, sources
deny:
    .ci/run deny

# known vulnerabilities; asks the network
advisories:
    .ci/run advisories

# every fuzz target for so many seconds; `cargo install --locked cargo-fuzz` first
fuzz seconds="60":
    #!/usr/bin/env bash
    set -euo pipefail
    # Without a sanitizer the stable toolchain does.
    export RUSTC_BOOTSTRAP=1
    cargo fuzz build -s none
    for target in $(cargo fuzz list); do
      mkdir -p "fuzz/corpus/$target"
      cargo fuzz run -s none "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- -max_total_time={{seconds}} -max_len=8000
    done

# the benchmarks, on a real single-host Swarm; as root
bench *arguments:
    cargo bench --locked {{arguments}}

# all fault campaigns, built with optimisation
campaigns *arguments:
    cargo campaigns --locked -- {{arguments}}

# random fault plans for a night; another number of seeds as argument
soak seeds="1000000":
    SKEP_SIM_SEEDS={{seeds}} cargo campaigns --locked -- random
