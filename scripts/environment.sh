# Sourced by the other scripts: makes the project's virtual environment, .venv, and installs into it.
# Needs nothing but Python 3.11 or later; PYTHON names another interpreter than those tried here.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "heksher needs Python 3.11 or later; set PYTHON to one" >&2
    return 1
}

# install WHAT...: install with pip into .venv, quietly, making it first if it is not there.
install() {
    local python
    if [ ! -x .venv/bin/python ]; then
        python=$(find_python)
        echo "Making a virtual environment in .venv with $python"
        "$python" -m venv .venv || {
            echo "could not make a virtual environment (on Debian: apt-get install python3-venv)" >&2
            return 1
        }
    fi
    echo "Installing into .venv: $*"
    # Dependency groups need pip 25.1.
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"
}
