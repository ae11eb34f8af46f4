# Sourced by the other scripts: makes the project's virtual environment, .venv, and installs into it.
# Needs nothing but Python 3.11 or later; PYTHON names another interpreter than those tried here.

CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

is_recent() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        is_recent "$PYTHON" && echo "$PYTHON" && return
        echo "expected PYTHON to be Python 3.11 or later, got $PYTHON: set it to another one" >&2
        return 1
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        is_recent "$candidate" && echo "$candidate" && return
    done
    echo "heksher needs Python 3.11 or later, and none was found: install one, or set PYTHON to one" >&2
    return 1
}

# install WHAT...: install with pip into .venv, quietly, making it first if it is not there. Versions are
# those of dev.lock.
install() {
    local python
    # An environment of an older Python would keep pip busy for minutes.
    if [ -x .venv/bin/python ] && ! is_recent .venv/bin/python; then
        echo ".venv has a Python before 3.11: remove it, and run this again" >&2
        return 1
    fi
    # One without pip was left half made, by a Python without ensurepip or an interruption.
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        python=$(find_python)
        echo "Making a virtual environment in .venv with $python"
        "$python" -m venv --clear .venv || {
            echo "could not make a virtual environment (on Debian: apt-get install python3-venv)" >&2
            return 1
        }
    fi
    echo "Installing into .venv: $*"
    # Dependency groups need pip 25.1.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --constraint dev.lock "$@"
}
