# `just` lists the recipes; the commands themselves are in .ci/run and ./test, which CI runs too.

_default:
    @just --list --unsorted

# all tests, those on a real Docker Swarm included; arguments as for `cargo test`
test *arguments:
    ./test {{arguments}}

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

# the benchmarks, on a real single-host Swarm; as root
bench *arguments:
    cargo bench --locked {{arguments}}

# random fault plans for a night; another number of seeds as argument
soak seeds="1000000":
    SKEP_SIM_SEEDS={{seeds}} cargo test --locked --test sim -- random
