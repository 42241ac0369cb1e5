#!/usr/bin/env bash
# Runs each target of fuzz/ for some seconds (default 60). cargo-fuzz needs a nightly toolchain; the same entries
# run for a moment on stable in `cargo test --test fuzz_short`.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
if ! command -v rustup >/dev/null 2>&1 || ! rustup toolchain list 2>/dev/null | grep -q nightly; then
    echo 'fuzz: needs a nightly toolchain (rustup toolchain install nightly) and cargo-fuzz (cargo install cargo-fuzz);' >&2
    echo 'fuzz: without them: MARGAY_CASES=1000000 MARGAY_SEED=$RANDOM cargo test --release --test fuzz_short' >&2
    exit 1
fi
for target in codec lexer lowering rules; do
    cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -max_len=4096
done
