#!/bin/sh
# Run the plane's tests on a plane built with AddressSanitizer and UndefinedBehaviorSanitizer (gcc's), in a copy of the
# sources under build/sanitize, so that the build in the checkout stays as it is. Arguments go to pytest.
#
# Tests marked slow are left out: they are the same as their quick siblings with far more packets, or other programs.
#
# Leaks are not looked for: CPython itself keeps memory until it exits. Counting of buffers is what the tests do.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
python=$root/.venv/bin/python
copy=$root/build/sanitize
tests=${*:-tests/rtpfwd tests/scenarios tests/fuzz/test_fuzz_plane.py}

# What git knows or would add. Only what differs is copied, so that only changed modules are built again.
git ls-files --cached --others --exclude-standard -- rtpfwd server protos bench signaling ops tests setup.py pyproject.toml README.md LICENSE |
    while read -r file; do
        if [ -f "$file" ] && ! cmp -s "$file" "$copy/$file"; then
            mkdir -p "$copy/$(dirname "$file")"
            cp "$file" "$copy/$file"
        fi
    done

cd "$copy"
RTPFWD_SANITIZE=1 "$python" setup.py -q build_ext --inplace

# The runtime comes before everything else; PYTHONMALLOC lets it see each of Python's own blocks.
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
    ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:allocator_may_return_null=1 \
    UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
    PYTHONMALLOC=malloc PYTHONPATH="$copy" SIGHTLINE_FUZZ_SECONDS="${SIGHTLINE_FUZZ_SECONDS:-2}" \
    "$python" -m pytest -q -p no:cacheprovider -m "not slow" $tests
