#!/usr/bin/env bats
# tests/run counts what it should, and no crash passes for a success.

load helpers

# unit NAME TEXT: a made-up unit test, which is this shell script.
unit() {
    mkdir -p "a tree/tests/unit" "a tree/build/tests"
    cp "$top/tests/run" "a tree/tests/run"
    touch "a tree/tests/unit/test_$1.c"
    printf '#!/bin/sh\n%s\n' "$2" > "a tree/build/tests/test_$1"
    chmod +x "a tree/build/tests/test_$1"
}

run_tree() { # expected status, names
    local status=$1
    shift
    expect_status "$status" env -u SANITIZE BUILD=build bash "a tree/tests/run" "$@"
}

@test "results are counted, the sum is the last line" {
    unit good 'printf "1..3\nok 1 - a\nok 2 - b\nnot ok 3 # SKIP c\n"'
    run_tree 0
    expect_equal "2 passed, 0 failed, 1 skipped" "${lines[-1]}"
    expect_in "$output" "test_good: ok 2 - b"
}

@test "a failure is shown whole, and fails the run" {
    unit bad 'printf "1..2\nok 1 - a\nnot ok 2 - b\n# because of this\n"; exit 1'
    run_tree 1
    expect_equal "1 passed, 1 failed, 0 skipped" "${lines[-1]}"
    expect_in "$output" "test_bad: not ok 2 - b" "    # because of this"
}

@test "a crash, too few results, a bad status and a missing program are failures" {
    for text in 'echo 1..2; echo "ok 1 - a"; kill -SEGV $$' 'echo 1..2; echo "ok 1 - a"' \
        'echo 1..1; echo "ok 1 - a"; exit 3' 'echo "ok 1 - a"'; do
        unit odd "$text"
        run_tree 1
        expect_equal "1 passed, 1 failed, 0 skipped" "${lines[-1]}"
    done
    rm "a tree/build/tests/test_odd"
    run_tree 1
    expect_equal "0 passed, 1 failed, 0 skipped" "${lines[-1]}"
}

@test "names choose a part, an unknown name is an error" {
    unit one 'printf "1..1\nok 1 - a\n"'
    unit one_more 'printf "1..1\nok 1 - a\n"'
    unit other 'exit 1'
    run_tree 0 one
    expect_equal "2 passed, 0 failed, 0 skipped" "${lines[-1]}"
    run_tree 2 unheard
    expect_in "$stderr" "no test is called unheard"
}

@test "bats files are run and their skipped tests counted" {
    unit good 'printf "1..1\nok 1 - a\n"'
    sed 's/^test/@test/' > "a tree/tests/some.bats" <<'EOF' # bats takes any @test for this file's own
test "passes" { true; }
test "is skipped" { skip "no reason"; }
test "fails" { false; }
EOF
    run_tree 1
    expect_equal "2 passed, 1 failed, 1 skipped" "${lines[-1]}"
    expect_in "$output" "some.bats: ok 2 is skipped # skip no reason" "some.bats: not ok 3 fails"
}

@test "a program that dies by a signal fails a test that expects any status" {
    run expect_status 139 bash -c 'kill -SEGV $$'
    expect_equal 1 "$status"
    run run_separate bash -c 'kill -ABRT $$'
    expect_equal 1 "$status"
    run expect_status 3 bash -c 'exit 3'
    expect_equal 0 "$status"
}
