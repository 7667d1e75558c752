# Everything that CI runs, in one command.
ci:
    bash .ci/run

# The README's demonstration.
demo:
    cargo run --release -- replay docs/examples/transformer.jsonl --gpu rtx3090 --gpu a100-sxm4-80gb --gpu h100-sxm

# Accept changed snapshots after looking at them with `git diff tests/snapshots`.
snapshots:
    INSTA_UPDATE=always cargo test --workspace

# Speed figures (see BENCHMARKS.md).
bench:
    cargo bench -p lumacycle-sim
