#!/usr/bin/env bats
# What every program keeps to: --help, --version, wrong options, its man page and its completion,
# all held against the program's own tables of options.

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

# What has a table of options: every program, and every verb of those that have some, as "seki train".
tables() {
    local name
    for name in $(programs) $(scripts); do
        echo "$name"
        verbs "$name" | sed "s/^/$name /"
    done
}

verbs() {
    "$1" --dump-options | awk -F '\t' '$3 == "verb" { print $1 }'
}

# The man page as plain text, a paragraph a line, which no line break can split an option in.
page_text() {
    mandoc -T ascii -O width=1000 "$top/man/$1.1" | sed 's/.\x08//g'
}

# Without the examples, which may call other people's programs.
page_without_examples() {
    page_text "$1" | sed '/^EXAMPLES/,/^[A-Z]/{/^ /d}'
}

# The part of a page's OPTIONS about one verb and the part about all of them.
verb_text() { # NAME VERB
    page_text "$1" | awk -v verb="$2" '/^[^ ]/ { own = 0; options = /^OPTIONS/ }
        /^   ?[^ ]/ { title = $0; sub(/^ */, "", title); own = options && (title == verb || title == "All verbs") }
        own'
}

# Options at the head of a paragraph, as lists of options have them, without the dashes; of the text on
# standard input.
page_entries() {
    grep -E '^ +-' | sed -E 's/^ *//; s/  .*//' |
        grep -oE '(^|[ ,])--?[A-Za-z][A-Za-z0-9-]*' | sed -E 's/^[ ,]*-//' | sort -u
}

# The table of options of a program, or of a verb of it, in the file `table`.
read_table() {
    expect_status 0 "$@" --dump-options
    expect_in "$output" $'help\t' $'version\t'
    printf '%s\n' "$output" | awk -F '\t' '$3 != "verb"' > table
}

# What is wrong with a list of options in a page, in the file `listed`, held against the table.
page_faults() {
    table_entries > expected
    # A flag X may be listed as --no-X, where that is what people will write.
    sed -n 's/^-no-/-/p' listed > negated
    sort listed negated | comm -13 - expected | sed 's/^/lacks -/'
    sed 's/^/-no-/; s/^-no--/-no-/' expected | sort - expected | comm -13 - listed |
        sed 's/^/lists what there is not: -/'
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
    for name in $(programs) $(scripts); do
        tables | grep -E "^$name( |\$)" | while read -ra command; do
            read_table "${command[@]}"
            cut -f 1,2 table
        done | sort -u > all
        mv all table
        page_without_examples "$name" | page_entries > listed
        expect_equal "" "$(page_faults | sed "s|^|man/$name.1 |")"
    done
}

@test "seki's man page lists the options of each verb under its name" {
    [ -n "$(verbs seki)" ]
    for verb in $(verbs seki); do
        read_table seki "$verb"
        verb_text seki "$verb" | page_entries > listed
        expect_equal "" "$(page_faults | sed "s/^/$verb: man\/seki.1 /")"
    done
}

@test "a man page names no long option that no program has" {
    tables | while read -ra command; do
        read_table "${command[@]}"
        cut -f 1 table
    done > known
    sed 's/^/no-/' known > negated
    echo dump-options >> known
    for name in $(programs) $(scripts); do
        page_without_examples "$name" |
            { grep -oE '(^|[^-A-Za-z0-9])--[a-z][a-z0-9-]*' || true; } |
            sed -E 's/^[^-]?--//' | sort -u > named
        strange=$(grep -vxFf known -f negated named || true)
        [ -z "$strange" ] || { echo "man/$name.1 names: $strange" && return 1; }
    done
}

@test "every option has a help and, where it takes a value, a name for it" {
    tables > list
    while read -ra command; do
        read_table "${command[@]}"
        wrong=$(awk -F '\t' 'NF != 6 || $6 == "" || ($3 != "flag" && $4 == "") ||
                             ($3 == "choice" && $5 == "") { print $1 }' table)
        [ -z "$wrong" ] || { echo "${command[*]}: incomplete rows: $wrong" && return 1; }
    done < list
}

@test "no two options of a program share a name or a letter" {
    tables > list
    while read -ra command; do
        read_table "${command[@]}"
        expect_equal "" "$(table_entries | uniq -d)"
    done < list
}

@test "the help of a program and of its verbs names every option and verb" {
    tables > list
    while read -ra command; do
        read_table "${command[@]}"
        help=$("${command[@]}" --help)
        while IFS=$'\t' read -r option _; do
            expect_in "$help" "--$option"
        done < table
        for verb in $("${command[@]}" --dump-options | awk -F '\t' '$3 == "verb" { print $1 }'); do
            expect_in "$help" "  $verb "
        done
    done < list
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
    tables > list
    while read -ra command; do
        complete_words "${command[@]}" -- > offered
        read_table "${command[@]}"
        cut -f 1 table | sed 's/^/--/' | sort > expected
        expect_equal "$(cat expected)" "$(grep '^--' offered | sort)"
        awk -F '\t' '$3 == "choice" { print $1, $5 }' table > choices
        while read -r option values; do
            expect_equal "${values//|/$'\n'}" "$(complete_words "${command[@]}" "--$option" '')"
        done < choices
    done < list
}

@test "the completion offers files where an option takes one, and nothing where it takes another value" {
    touch a-file
    tables > list
    while read -ra command; do
        read_table "${command[@]}"
        while IFS=$'\t' read -r option type; do
            case $type in
            file) expect_equal a-file "$(complete_words "${command[@]}" "--$option" a-)" ;;
            choice | flag) ;;
            *) expect_equal "" "$(complete_words "${command[@]}" "--$option" '')" ;;
            esac
        done < <(cut -f 1,3 table)
    done < list
}

@test "the completion offers the verbs until one is there" {
    for name in $(scripts); do
        [ -n "$(verbs "$name")" ]
        expect_equal "$(verbs "$name")" "$(complete_words "$name" '')"
    done
    expect_equal search "$(complete_words seki sea)"
    expect_equal status "$(complete_words seki-local-llm --threads 2 stat)"
    touch run-1
    expect_equal run-1 "$(complete_words seki report run)"
}
