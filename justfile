# The daily commands. `just` alone lists them.
default:
    @just --list

# Everything that main must pass.
test:
    scripts/test

# Only the tests, quickly.
quick *args:
    cargo nextest run --workspace --all-features {{ args }}

# Races under thousands of schedules.
model *args:
    scripts/model {{ args }}

# The main job, to watch.
quickstart:
    cargo run --example quickstart

# Many agents at long tasks while tokens end, to watch.
agents *args:
    cargo run --example agent_runtime -- {{ args }}

# A simulated Moojo to work against.
sim *args:
    cargo run -p moojo-sim -- {{ args }}

fmt:
    cargo fmt --all

lint:
    cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

# The documentation, in a browser.
doc:
    cargo doc --workspace --all-features --no-deps --open

# Benchmarks, and the table in docs/performance.md made from them.
bench *args:
    cargo bench -p moojo-benches {{ args }}
    cargo run --profile bench -p moojo-benches --bin table -- --write

# Licences, sources and banned crates (cargo install --locked cargo-deny).
deny:
    cargo deny --all-features check bans licenses sources

# Known vulnerabilities; needs the network.
audit:
    cargo deny --all-features check advisories
