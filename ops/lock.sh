#!/bin/sh
# Recompute the lock files: every version and hash, for every Python from 3.11 on, and no index address.
set -eu
cd "$(dirname "$0")/.."
lock() {
    out=$1
    shift
    uv pip compile --quiet --universal --python-version 3.11 --no-config --generate-hashes --no-emit-index-url \
        --no-emit-find-links --no-header --no-annotate --output-file "requirements/$out" "$@"
}
lock run.txt pyproject.toml --group build
lock dev.txt pyproject.toml --group dev
