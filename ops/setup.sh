#!/bin/sh
# Make this checkout ready, installing only what is missing. Usage: ops/setup.sh run|test|dev|compile|web
#
#   run      Python packages, the compiled plane, the web client: what `make run` needs
#   dev      run, plus the packages for tests and lint
#   test     dev, plus the browsers and programs that the tests drive
#   compile  rebuild the plane if its sources changed
#   web      rebuild the web client if its sources changed
#
# What was done is remembered in .venv/stamps/ by a hash of its inputs, so a second call costs milliseconds. On Debian
# and Ubuntu as root missing system packages are installed; elsewhere one line says which command does it.
set -eu
cd "$(dirname "$0")/.."
mode=${1:-run}
stamps=.venv/stamps
log=.venv/setup.log

say() { printf '\033[2m%s\033[0m\n' "$*" >&2; }
fail() {
    printf 'sightline: %s\n' "$*" >&2
    exit 2
}

# quietly WHAT COMMAND…: run it, keep its output in the log, show the log's end only if it fails.
quietly() {
    what=$1
    shift
    say "· $what"
    part=$(mktemp)
    if "$@" >"$part" 2>&1; then
        cat "$part" >>"$log"
        rm -f "$part"
    else
        tail -n 40 "$part" >&2
        rm -f "$part"
        fail "failed: $what"
    fi
}

# POSIX sh has no local variables: each function below has names of its own.
fresh() { [ -f "$stamps/$1" ] && [ "$(cat "$stamps/$1")" = "$2" ]; }
stamp() { printf '%s' "$2" >"$stamps/$1"; }
hash_of() { cat "$@" | sha256sum | cut -c1-32; }

as_debian_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }
apt_updated=
apt_install() {
    if [ -z "$apt_updated" ]; then
        apt-get update -q >/dev/null 2>&1 || true
        apt_updated=yes
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" </dev/null
}

# ---- a Python with its headers, and a C compiler ----

find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

python_complete() {
    "$1" -c 'import ensurepip, os, sysconfig, venv
assert os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))' 2>/dev/null
}

compiler_works() { printf '#include <stdio.h>\nint main(void){return 0;}\n' | cc -x c -o /dev/null - 2>/dev/null; }

ready_system() {
    python=$(find_python || true)
    if [ -n "$python" ] && python_complete "$python" && compiler_works; then
        return 0
    fi
    as_debian_root || fail "a C compiler, Python >= 3.11 and its headers are needed. On Debian or Ubuntu:" \
        "sudo apt-get install -y gcc libc6-dev python3-dev python3-venv   (Fedora: sudo dnf install -y gcc python3-devel)"
    mkdir -p .venv
    say "· installing the C compiler and the Python headers"
    apt_install gcc libc6-dev ca-certificates python3 python3-dev python3-venv >.venv/apt.log 2>&1 ||
        fail "apt-get could not install gcc, python3-dev and python3-venv; its output is in .venv/apt.log"
    python=$(find_python || true)
    if [ -n "$python" ] && ! python_complete "$python" && python_complete /usr/bin/python3; then
        python=/usr/bin/python3
    fi
    [ -n "$python" ] || fail "this system's newest Python is older than 3.11; install Python 3.11 or newer and run again"
}

ready_venv() {
    if [ -x .venv/bin/python ] && .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        mkdir -p "$stamps"
        compiler_works || ready_system
        return 0
    fi
    ready_system
    say "· creating .venv with $("$python" --version)"
    "$python" -m venv .venv >&2 || fail "python -m venv failed; is python3-venv installed?"
    mkdir -p "$stamps"
}

ready_packages() {
    lock=requirements/$1
    lock_hash=$(hash_of "$lock")
    fresh "packages-$1" "$lock_hash" && return 0
    quietly "installing the Python packages of $lock" \
        .venv/bin/python -m pip install --disable-pip-version-check --quiet -r "$lock"
    stamp "packages-$1" "$lock_hash"
}

ready_plane() {
    typed=$(find server -name '*.pxd' | sort)
    sources="$(find rtpfwd bench -name '*.pyx' -o -name '*.pxd' -o -name '*.[ch]' | sort)
        $typed $(printf '%s\n' "$typed" | sed 's/pxd$/py/')"
    # shellcheck disable=SC2086
    plane_hash="$(hash_of setup.py pyproject.toml $sources)-${RTPFWD_DEBUG:-0}"
    fresh plane "$plane_hash" && return 0
    if [ -f "$stamps/plane" ] && [ "$(sed 's/.*-//' "$stamps/plane")" != "${RTPFWD_DEBUG:-0}" ]; then
        find rtpfwd bench server -name '*.so' -delete
        rm -rf build
    fi
    quietly "compiling the forwarding plane and the simulator" \
        .venv/bin/python -m pip install --disable-pip-version-check --quiet --no-build-isolation --no-deps --editable .
    stamp plane "$plane_hash"
}

# ---- the web client ----

ready_node() {
    . ops/node-path.sh
    if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; then
        return 0
    fi
    ready_packages node.txt
    hash -r 2>/dev/null || true
}

web_sources() {
    find web -type f -not -path 'web/node_modules/*' -not -path 'web/.next/*' -not -path 'web/out/*' \
        -not -name next-env.d.ts -not -name '*.tsbuildinfo' | sort
}

ready_web_packages() {
    npm_hash=$(hash_of web/package.json web/package-lock.json)
    fresh npm "$npm_hash" && [ -d web/node_modules ] && return 0
    quietly "installing the web client's packages" sh -c 'cd web && npm ci --no-audit --no-fund'
    stamp npm "$npm_hash"
}

ready_web() {
    # shellcheck disable=SC2046
    web_hash=$(hash_of $(web_sources))
    fresh web "$web_hash" && [ -f web/out/index.html ] && return 0
    ready_node
    ready_web_packages
    quietly "building the web client" sh -c 'cd web && npm run build'
    stamp web "$web_hash"
}

# ---- what only tests need ----

missing_programs() {
    command -v chromium >/dev/null 2>&1 || printf 'chromium '
    command -v firefox-esr >/dev/null 2>&1 || printf 'firefox-esr '
    command -v ip >/dev/null 2>&1 || printf 'iproute2 '
    command -v janus >/dev/null 2>&1 || printf 'janus '
    command -v nft >/dev/null 2>&1 || printf 'nftables '
    command -v openssl >/dev/null 2>&1 || printf 'openssl '
    command -v tcpdump >/dev/null 2>&1 || printf 'tcpdump '
    # Debian's package has the headers too, which a test compiles with.
    command -v valgrind >/dev/null 2>&1 && [ -f /usr/include/valgrind/memcheck.h ] || printf 'valgrind '
}

ready_test_programs() {
    missing=$(missing_programs)
    [ -z "$missing" ] && return 0
    if ! as_debian_root; then
        say "! not installed: $missing— the tests that need them will be skipped by name"
        return 0
    fi
    for package in $missing; do
        say "· installing $package for the tests"
        apt_install "$package" >>"$log" 2>&1 || say "! $package could not be installed: the tests that need it will say so"
    done
}

case $mode in
run)
    ready_venv
    ready_packages run.txt
    # The two slow halves side by side: a C compiler and a JavaScript bundler.
    ready_node
    (ready_web) &
    web_pid=$!
    ready_plane || { wait $web_pid; exit 2; }
    wait $web_pid || exit 2
    ;;
dev | test)
    ready_venv
    ready_packages dev.txt
    ready_plane
    ready_node
    ready_web_packages
    if [ "$mode" = test ]; then
        ready_web
        ready_test_programs
    fi
    ;;
compile)
    ready_venv
    ready_packages run.txt
    ready_plane
    ;;
web)
    ready_venv
    ready_web
    ;;
*)
    fail "unknown mode '$mode'; one of: run dev test compile web"
    ;;
esac
