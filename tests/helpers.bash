# What the .bats files share: `load helpers`. Every test runs in an empty folder of its own, with
# build/bin first in PATH and nothing of the caller's settings for an endpoint.
#
# After run_separate and expect_status: $status, $output (standard output), $stderr.
bats_require_minimum_version 1.5.0

top=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
case ${BUILD:-build} in
/*) build=$BUILD ;;
*) build=$top/${BUILD:-build} ;;
esac
export PATH="$build/bin:$PATH" LC_ALL=C
unset OPENAI_BASE_URL OPENAI_API_KEY SEKI_MODEL http_proxy https_proxy HTTP_PROXY HTTPS_PROXY

setup() {
    cd "$BATS_TEST_TMPDIR" || return
}

# Why a test failed, as bats prints it.
show_run() {
    echo "command: $*"
    echo "status: $status"
    echo "standard output: $output"
    echo "standard error: $stderr"
}

# run_separate COMMAND…: as `run`, standard output and standard error apart. A death by signal, which a
# sanitizer's report is too (tests/run sees to it), is a failure whatever the test expects.
run_separate() {
    run --separate-stderr "$@"
    # shellcheck disable=SC2154 # set by run
    if [ "$status" -ge 126 ]; then
        show_run "$@"
        return 1
    fi
}

# expect_status N COMMAND…: the command ends with status N.
expect_status() {
    local expected=$1
    shift
    run_separate "$@" || return 1
    if [ "$status" -ne "$expected" ]; then
        echo "expected status: $expected"
        show_run "$@"
        return 1
    fi
}

# expect_in TEXT PART…: each part stands in the text.
expect_in() {
    local text=$1 part
    shift
    for part; do
        if [[ $text != *"$part"* ]]; then
            echo "expected: $part"
            echo "in: $text"
            return 1
        fi
    done
}

# expect_equal EXPECTED FOUND
expect_equal() {
    if [ "$1" != "$2" ]; then
        echo "expected: $1"
        echo "found: $2"
        return 1
    fi
}

# need_shared PATH…: skips the test where ../shared, beside the repository, lacks one of them.
need_shared() {
    local path
    for path; do
        [ -e "$top/../shared/$path" ] || skip "needs ../shared/$path, which is not here"
    done
}
