#!/usr/bin/env bats
# The fuzz targets over their corpora and a fixed set of mutated copies of them: what a fuzzing engine
# found once, or could find soon. CONTRIBUTING.md says how to run an engine.

load helpers

@test "every fuzz target holds its properties over its corpus and mutated copies of it" {
    local target name tried=0
    for target in "$build"/fuzz/fuzz_*; do
        name=${target##*/fuzz_}
        [ -d "$top/tests/fuzz/corpus/$name" ] || {
            echo "tests/fuzz/corpus/$name is missing"
            return 1
        }
        expect_status 0 "$target" -m 300 "$top/tests/fuzz/corpus/$name"
        tried=$((tried + 1))
    done
    [ "$tried" -ge 5 ]
}
