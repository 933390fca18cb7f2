#!/usr/bin/env bats
# What make install puts where; the library used from there; make uninstall.

load helpers

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    [ -z "${SANITIZE:-}" ] || skip "the plain build is the one that is installed"
    stage=$PWD/stage
    root=$stage/usr/local
    # Not the flags of a make that runs the tests.
    unset MAKEFLAGS MFLAGS MAKELEVEL
}

make_target() {
    expect_status 0 make -C "$top" --no-print-directory "$@" "BUILD=${BUILD:-build}" "DESTDIR=$stage"
}

@test "an installation has programs, library, headers, pages, completions, prompts" {
    make_target install
    for folder in "$top"/tools/*/; do
        name=$(basename "$folder")
        [ "$name" = common ] || echo "$name"
    done | sort > names
    diff names <(ls "$build/bin")
    for program in "$build"/bin/*; do
        cmp "$program" "$root/bin/${program##*/}"
    done
    for file in "$build"/libexec/seki/*; do
        cmp "$file" "$root/libexec/seki/${file##*/}"
    done
    for page in "$top"/man/*.1; do
        [ -f "$root/share/man/man1/${page##*/}" ]
    done
    for file in "$build"/share/bash-completion/completions/*; do
        cmp "$file" "$root/share/bash-completion/completions/${file##*/}"
    done
    for file in "$top"/share/prompts/*; do
        cmp "$file" "$root/share/seki/prompts/${file##*/}"
    done
    [ -f "$root/include/seki/base/base.h" ]
    [ -z "$(find "$root/include" -name '*_internal.h')" ]
}

@test "uninstall leaves nothing, and nobody else's file is touched" {
    mkdir -p "$root/bin" "$root/lib"
    touch "$root/bin/other" "$root/lib/libother.a"
    make_target install
    [ -x "$root/bin/seki-rank" ]
    make_target uninstall
    expect_equal "$root/bin/other
$root/lib/libother.a" "$(find "$stage" ! -type d | sort)"
}

@test "a program builds against the installed library through pkg-config" {
    make_target install
    export PKG_CONFIG_PATH=$root/lib/pkgconfig
    version=$(sed -n 's/^#define SEKI_VERSION *"\(.*\)"$/\1/p' "$top/lib/base/base.h")
    expect_equal "$version" "$(pkg-config --modversion seki)"
    # shellcheck disable=SC2046 # flags
    expect_status 0 cc -std=c11 -Wall -Wextra -Werror "$top/tests/example/minimal.c" \
        $(pkg-config "--define-variable=prefix=$root" --cflags --libs seki) -o minimal
    echo '|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|' > genotypes
    expect_status 0 ./minimal genotypes
    [[ $output =~ ^[0-9a-f]{16}\ 2\ \|.*\|$ ]]
    echo 'no genotype' >> genotypes
    expect_status 1 ./minimal genotypes
    expect_in "$stderr" "minimal: genotypes:2: "
}

@test "every installed header compiles by itself" {
    make_target install
    find "$root/include/seki" -name '*.h' | sort > headers
    [ -s headers ]
    while read -r header; do
        echo "#include \"${header#"$root/include/seki/"}\"" > alone.c
        expect_status 0 cc -std=c11 -Wall -Wextra -Werror -fsyntax-only "-I$root/include/seki" alone.c
    done < headers
}

@test "an installed program runs and finds its prompts without the source tree" {
    make_target install
    expect_status 0 env PATH=/usr/bin:/bin "$root/bin/seki-rank" --version
    expect_status 0 env PATH=/usr/bin:/bin "$root/bin/seki-propose" --policy random --seed 1 -n 2
    expect_equal 2 "${#lines[@]}"
}

@test "an installed seki searches a table and reports, by its name and through a link" {
    make_target install
    printf '%s\t%s\n' arch score \
        '|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|' 71.5 > table
    mkdir elsewhere
    ln -s "$root/bin/seki" elsewhere/other
    for seki in "$root/bin/seki" elsewhere/other; do
        # A random candidate that the table lacks has no score: status 1.
        run_separate env PATH=/usr/bin:/bin "$seki" search "run-${seki##*/}" --table table --column score \
            --space nas201 --policy random --lambda 2 --gamma 0 --quiet
        [ "$status" -le 1 ] || { show_run "$seki" && return 1; }
        expect_equal 3 "$(wc -l < "run-${seki##*/}/candidates.jsonl")"
        expect_status 0 env PATH=/usr/bin:/bin "$seki" report "run-${seki##*/}" --quiet
        [ -s "run-${seki##*/}/report.html" ]
    done
}

@test "a seki without its helpers says so" {
    make_target install
    rm -r "$root/libexec"
    expect_status 3 "$root/bin/seki" report run
    expect_in "$stderr" "libexec/seki" "install seki again"
}
