#!/usr/bin/env bash
# scripts/demo-check.sh for every step in rules/; goes on after a step that failed, and fails then.
#
#   scripts/demo-check-all.sh SECONDS
set -euo pipefail
cd "$(dirname "$0")/.."

shopt -s nullglob
steps=(rules/*.yaml)
if [ ${#steps[@]} = 0 ]; then
    echo "demo-check rules/: FAILED (no step is there)"
    exit 1
fi
failed=0
for step in "${steps[@]}"; do
    scripts/demo-check.sh "$step" "$1" || failed=1
done
exit "$failed"
