#!/usr/bin/env bats
# What every program keeps to: --help, --version, wrong options, its man page and its completion,
# all held against the program's own table of options.

load helpers

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    set -o pipefail
}

programs() { # the C programs, from their folders
    local source
    for source in "$top"/tools/*/main.c; do
        basename "$(dirname "$source")"
    done | sort -u
}

scripts() { # the folders of tools/ that hold a script of their own name
    local folder
    for folder in "$top"/tools/*/; do
        folder=$(basename "$folder")
        [ ! -f "$top/tools/$folder/$folder" ] || echo "$folder"
    done
}

# The man page as plain text, a paragraph a line, which no line break can split an option in.
page_text() {
    mandoc -T ascii -O width=1000 "$top/man/$1.1" | sed 's/.\x08//g'
}

# Options at the head of a paragraph, as lists of options have them, without the dashes.
page_entries() {
    page_text "$1" | grep -E '^ +-' | sed -E 's/^ *//; s/  .*//' |
        grep -oE '(^|[ ,])--?[A-Za-z][A-Za-z0-9-]*' | sed -E 's/^[ ,]*-//' | sort -u
}

# The program's table of options, in the file `table`.
read_table() {
    expect_status 0 "$1" --dump-options
    expect_in "$output" $'help\t' $'version\t'
    printf '%s\n' "$output" > table
}

# The names that the table has, in the same form: -name, or the letter.
table_entries() {
    awk -F '\t' '{ print "-" $1; if ($2 != "") print $2 }' table | sort
}

@test "there are programs, each built from its folder" {
    [ -n "$(programs)" ]
    for name in $(programs) $(scripts); do
        [ -x "$build/bin/$name" ] || { echo "not built: $name" && return 1; }
    done
}

@test "--help and --version print on standard output and end with status 0" {
    for name in $(programs) $(scripts); do
        expect_status 0 "$name" --help < /dev/null
        expect_in "$output" "$name"
        expect_equal "" "$stderr"
        expect_status 0 "$name" --version < /dev/null
        expect_in "$output" "$name"
        expect_equal "" "$stderr"
        [[ $output =~ [0-9]+\.[0-9]+\.[0-9]+ ]]
    done
}

@test "every program tells the version of the library" {
    version=$(sed -n 's/^#define SEKI_VERSION *"\(.*\)"$/\1/p' "$top/lib/base/base.h")
    [ -n "$version" ]
    for name in $(programs) $(scripts); do
        expect_in "$("$name" --version)" "$version"
    done
}

@test "an unknown option ends with status 2 and a message that names it" {
    for name in $(programs) $(scripts); do
        expect_status 2 "$name" --no-such-option < /dev/null
        expect_equal "" "$output"
        expect_in "$stderr" "$name: " "--no-such-option"
    done
}

@test "every program has a man page" {
    for name in $(programs) $(scripts); do
        [ -f "$top/man/$name.1" ] || { echo "no man/$name.1" && return 1; }
        expect_in "$(page_text "$name")" "NAME" "$name"
    done
}

@test "a man page lists the options of its program, all and no other" {
    for name in $(programs); do
        read_table "$name"
        table_entries > expected
        page_entries "$name" > listed
        # A flag X may be listed as --no-X, where that is what people will write.
        sed -n 's/^-no-/-/p' listed > negated
        missing=$(sort listed negated | comm -13 - expected)
        made_up=$(sed 's/^/-no-/; s/^-no--/-no-/' expected | sort - expected | comm -13 - listed)
        [ -z "$missing" ] || { echo "man/$name.1 lacks: $missing" && return 1; }
        [ -z "$made_up" ] || { echo "man/$name.1 lists what there is not: $made_up" && return 1; }
    done
}

@test "a man page names no long option that no program has" {
    for name in $(programs); do
        read_table "$name"
        cut -f 1 table
    done > known
    sed 's/^/no-/' known > negated
    echo dump-options >> known
    for name in $(programs); do
        # Examples may call other people's programs.
        page_text "$name" | sed '/^EXAMPLES/,/^[A-Z]/{/^ /d}' |
            { grep -oE '(^|[^-A-Za-z0-9])--[a-z][a-z0-9-]*' || true; } |
            sed -E 's/^[^-]?--//' | sort -u > named
        strange=$(grep -vxFf known -f negated named || true)
        [ -z "$strange" ] || { echo "man/$name.1 names: $strange" && return 1; }
    done
}

@test "every option has a help and, where it takes a value, a name for it" {
    for name in $(programs); do
        read_table "$name"
        wrong=$(awk -F '\t' 'NF != 6 || $6 == "" || ($3 != "flag" && $4 == "") ||
                             ($3 == "choice" && $5 == "") { print $1 }' table)
        [ -z "$wrong" ] || { echo "$name: incomplete rows: $wrong" && return 1; }
    done
}

@test "no two options of a program share a name or a letter" {
    for name in $(programs); do
        read_table "$name"
        expect_equal "" "$(table_entries | uniq -d)"
    done
}

# complete_words NAME WORD…: what bash offers for the last word.
complete_words() {
    bash -c '
        source "$0"
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
        function=$(complete -p "$1" | sed "s/.*-F \([^ ]*\) .*/\1/")
        "$function"
        printf "%s\n" "${COMPREPLY[@]}"' \
        "$build/share/bash-completion/completions/$1" "$@"
}

@test "the completion offers every option, and the choices of those that have some" {
    for name in $(programs); do
        complete_words "$name" -- > offered
        read_table "$name"
        cut -f 1 table | sed 's/^/--/' | sort > expected
        expect_equal "$(cat expected)" "$(grep '^--' offered | sort)"
        awk -F '\t' '$3 == "choice" { print $1, $5 }' table > choices
        while read -r option values; do
            expect_equal "${values//|/$'\n'}" "$(complete_words "$name" "--$option" '')"
        done < choices
    done
}
