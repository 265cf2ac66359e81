# To be sourced from the checkout's root: puts a Node.js of at least 20.9 on PATH, the system's or the venv's own.
if ! node -e 'const [a, b] = process.versions.node.split("."); process.exit(+a > 20 || (+a === 20 && +b >= 9) ? 0 : 1)' 2>/dev/null; then
    PATH="$PWD/.venv/bin:$PATH"
    export PATH
fi
NEXT_TELEMETRY_DISABLED=1
export NEXT_TELEMETRY_DISABLED
