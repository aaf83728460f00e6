# Daily commands; `just` lists them. Each is one line that can be typed without `just` as well.

_default:
    @just --list --unsorted

# Starts a shell on a private server of its own.
run *ARGS:
    cargo run --release --bin keyshell -- --embedded {{ARGS}}

# Formats, and runs the linter as CI does.
lint:
    cargo fmt
    cargo clippy --workspace --all-targets -- -D warnings

# Runs all tests, or those whose names contain the words given.
test *NAMES:
    cargo test --workspace -- {{NAMES}}

# Runs black-box tests by module or name: `just black-box agent::`.
black-box *NAMES:
    cargo build --workspace --bins
    cargo test -p tests -- {{NAMES}}

# Installs the foreign programs that tests compare with.
tools:
    .ci/install-tools

# Runs every check that must pass before a change is merged.
ci:
    .ci/run

# Builds the documentation of all crates and opens it.
doc:
    cargo doc --workspace --no-deps --open

# Fuzzes every target for so many seconds each.
fuzz SECONDS='60' *TARGETS:
    fuzz/run {{SECONDS}} {{TARGETS}}

# Changes one piece of code at a time and lists the changes that no test notices.
mutants PACKAGE='shared' *ARGS:
    cargo mutants --package {{PACKAGE}} {{ARGS}}

# Runs the benchmarks whose names contain FILTER.
bench FILTER='':
    cargo bench -p benches -- {{FILTER}}

# Builds the programs for packages, in target/dist.
dist:
    cargo build --profile dist --locked -p keyshell -p keyserver
