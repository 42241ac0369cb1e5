#!/usr/bin/env bash
# One step of the shop's growth, whole: real servers, the proxy, a load on the shop, then the books.
#
#   scripts/demo-check.sh RULES SECONDS
#
# Exits by the result and ends with one line that says it.
set -euo pipefail
cd "$(dirname "$0")/.."

rules=$1
seconds=$2
programs=${CARGO_TARGET_DIR:-target}/debug

if "$programs/margay" sandbox "$rules" -- "$programs/shop" check --seconds "$seconds"; then
    echo "demo-check $rules: ok"
else
    echo "demo-check $rules: FAILED"
    exit 1
fi
