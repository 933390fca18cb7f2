# shellcheck shell=sh disable=SC2034,SC2154 # variables are shared by the files of the driver
# seki-options.sh - a verb's options: one table, from which come parsing, --help and the settings
# that a run folder keeps.
#
# options_table, which each verb defines, prints a row an option:
#     name|letter|type|kept|default|argument|help
# type     flag, text, path, number, "integer MIN MAX", "choice A B …"; "heading" is no option
# kept     run   written into the settings; another value later is refused
#          call  written into the settings; another value later holds for that call
#          no    not written
# The value of an option is in opt_NAME ('-' as '_'), and given_NAME is yes where it is on the
# command line. Names in `eval` come from the table alone, never from a user.

variable_of() { # NAME: sets $variable
    variable=$1
    while :; do
        case $variable in
        *-*) variable=${variable%%-*}_${variable#*-} ;;
        *) return ;;
        esac
    done
}

# ---- The table -----------------------------------------------------------------------------

standard_options() {
    cat <<'EOT'
help||flag|no|no||print this and exit
version||flag|no|no||print the version and exit
EOT
}

load_table() {
    options="$(options_table)
quiet|q|flag|no|no||no notes and no progress
$(standard_options)"
    while IFS='|' read -r row_name row_letter row_type row_kept row_default row_argument row_help; do
        [ "$row_type" != heading ] || continue
        variable_of "$row_name"
        eval "opt_$variable=\$row_default given_$variable=no"
    done <<EOT
$options
EOT
}

print_help() { # SYNOPSIS SUMMARY
    printf 'usage: seki %s\n\n%s\n' "$1" "$2"
    while IFS='|' read -r row_name row_letter row_type row_kept row_default row_argument row_help; do
        if [ "$row_type" = heading ]; then
            printf '\n%s:\n' "$row_help"
            continue
        fi
        [ "$row_type" != flag ] || row_default=
        printf '  %s--%-26s %s%s\n' "${row_letter:+-$row_letter, }" \
            "$row_name${row_argument:+ $row_argument}" "$row_help" \
            "${row_default:+ ($row_default)}"
    done <<EOT
$options
EOT
}

# dump_options < TABLE: it in the form that --dump-options of the C programs has (lib/base/base.h),
# for the completion and the check of the man page.
dump_options() {
    while IFS='|' read -r row_name row_letter row_type row_kept row_default row_argument row_help; do
        dump_choices=
        case $row_type in
        heading) continue ;;
        path) row_type='file' ;;
        text) row_type=string ;;
        integer*) row_type=integer ;;
        choice*)
            dump_choices=$(printf '%s' "${row_type#choice }" | tr ' ' '|')
            row_type=choice
            ;;
        esac
        printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$row_name" "$row_letter" "$row_type" "$row_argument" \
            "$dump_choices" "$row_help"
    done
}

# find_option NAME|-LETTER: sets found, found_type; a name may be shortened where that is clear.
find_option() {
    found='' found_type='' matches=0
    while IFS='|' read -r row_name row_letter row_type row_kept row_default row_argument row_help; do
        [ "$row_type" != heading ] || continue
        case $row_name in
        "$1")
            found=$row_name found_type=$row_type matches=1
            return
            ;;
        "$1"*) found=$row_name found_type=$row_type matches=$((matches + 1)) ;;
        esac
        if [ -n "$row_letter" ] && [ "-$row_letter" = "$1" ]; then
            found=$row_name found_type=$row_type matches=1
            return
        fi
    done <<EOT
$options
EOT
}

# The option within two letters put in, left out or mistaken (Levenshtein's distance), if any, is named.
unknown_option() { # WORD
    nearest=$(printf '%s\n' "$options" | WORD=${1#--} awk -F '|' '
        function least(a, b, c) { return a < b ? (a < c ? a : c) : (b < c ? b : c) }
        function distance(a, b, i, j, d) {
            for (j = 0; j <= length(b); j++) d[0, j] = j
            for (i = 1; i <= length(a); i++) {
                d[i, 0] = i
                for (j = 1; j <= length(b); j++)
                    d[i, j] = least(d[i - 1, j] + 1, d[i, j - 1] + 1,
                        d[i - 1, j - 1] + (substr(a, i, 1) != substr(b, j, 1)))
            }
            return d[length(a), length(b)]
        }
        BEGIN { best = 3 }
        $3 != "heading" && (d = distance(ENVIRON["WORD"], $1)) < best && d < length($1) / 2 { best = d; name = $1 }
        END { print name }')
    [ -z "$nearest" ] || wrong_use "unknown option '$1'; did you mean '--$nearest'?"
    wrong_use "unknown option '$1'"
}

# ---- Values --------------------------------------------------------------------------------

# Says in $wrong what is wrong with a value, or leaves it empty.
check_value() { # TYPE VALUE
    wrong=
    case $2 in
    *"$newline"*)
        wrong='it holds a line break'
        return
        ;;
    '')
        wrong='it is empty'
        return
        ;;
    esac
    # shellcheck disable=SC2086 # words of a type
    case $1 in
    integer*) check_integer "$2" ${1#integer } ;;
    flag)
        case $2 in
        yes | no) ;;
        *) wrong='it is yes or no' ;;
        esac
        ;;
    number)
        case $2 in
        . | *[!0-9.]* | *.*.*) wrong='it is not a number' ;;
        esac
        ;;
    choice*)
        case " ${1#choice } " in
        *" $2 "*) ;;
        *) wrong="it is one of: ${1#choice }" ;;
        esac
        ;;
    esac
}

check_integer() { # VALUE MIN MAX
    case $1 in
    *[!0-9]* | 0?* | ?????????????*) wrong="it is a whole number from $2 to $3" ;;
    *)
        if [ "$1" -lt "$2" ] || [ "$1" -gt "$3" ]; then
            wrong="it is a whole number from $2 to $3"
        fi
        ;;
    esac
}

set_option() { # VALUE, for the option found
    check_value "$found_type" "$1"
    [ -z "$wrong" ] || wrong_use "--$found '$1': $wrong"
    set_value=$1
    if [ "$found_type" = path ]; then
        case $1 in
        /*) ;;
        -) set_value=- ;; # standard output, for the page
        *) set_value=$(pwd)/$1 ;; # a run may go on from another folder
        esac
    fi
    variable_of "$found"
    eval "opt_$variable=\$set_value given_$variable=yes"
}

# ---- The command line ----------------------------------------------------------------------

take_operand() {
    operands=$((operands + 1))
    operand=$1
}

parse_options() { # ARGUMENT…
    operands=0 operand=''
    load_table
    while [ $# -gt 0 ]; do
        word=$1 value='' has_value=no
        shift
        case $word in
        --)
            for word; do take_operand "$word"; done
            return
            ;;
        --dump-options)
            printf '%s\n' "$options" | dump_options
            exit 0
            ;;
        --*=*)
            value=${word#*=} has_value=yes word=${word%%=*}
            find_option "${word#--}"
            ;;
        --?*) find_option "${word#--}" ;;
        -?)
            find_option "$word"
            ;;
        -?*)
            value=${word#-?} has_value=yes word=${word%"$value"}
            find_option "$word"
            ;;
        *)
            take_operand "$word"
            continue
            ;;
        esac
        [ "$matches" -ne 0 ] || unknown_option "$word"
        [ "$matches" -eq 1 ] || wrong_use "option '$word' is not clear: write it out"
        if [ "$found_type" = flag ]; then
            [ "$has_value" = no ] || wrong_use "--$found takes no value"
            set_option yes
            continue
        fi
        if [ "$has_value" = no ]; then
            [ $# -gt 0 ] || wrong_use "--$found needs a value"
            value=$1
            shift
        fi
        set_option "$value"
    done
}

# What every verb does first: options, --help, --version, and the one operand, the run folder.
take_command_line() { # SYNOPSIS SUMMARY ARGUMENT…
    synopsis=$1 summary=$2
    shift 2
    parse_options "$@"
    if [ "$opt_help" = yes ]; then
        print_help "$synopsis" "$summary"
        exit 0
    elif [ "$opt_version" = yes ]; then
        printf 'seki %s\n' "$VERSION"
        exit 0
    fi
    [ "$operands" -gt 0 ] || wrong_use 'the run folder is missing'
    [ "$operands" -eq 1 ] || wrong_use "one run folder is needed, and there are $operands operands"
    [ -n "$operand" ] || wrong_use 'the name of the run folder is empty'
    case $operand in
    *"$newline"*) wrong_use 'the name of the run folder holds a line break' ;;
    -*) operand=./$operand ;;
    esac
    run=${operand%"${operand##*[!/]}"}
    run=${run:-/}
}

# ---- Settings ------------------------------------------------------------------------------

# read_settings FILE: what the file has goes into opt_NAME, unless the command line gives it. Where
# $settled is yes, a value that differs is refused.
read_settings() {
    settings_file=$1 line_number=0
    [ -r "$1" ] || die 3 "$1 cannot be read"
    while IFS='|' read -r row_name row_letter row_type row_kept row_default row_argument row_help; do
        [ "$row_type" != heading ] || continue
        variable_of "$row_name"
        eval "was_$variable=\$row_default"
    done <<EOT
$options
EOT
    while IFS= read -r line; do
        line_number=$((line_number + 1))
        case $line in
        '' | '#'*) continue ;;
        esac
        read_setting "${line%%=*}" "${line#*=}"
    done <"$1"
    while IFS='|' read -r row_name row_letter row_type row_kept row_default row_argument row_help; do
        case $row_type$row_kept in heading* | *no) continue ;; esac
        variable_of "$row_name"
        eval "was=\$was_$variable now=\$opt_$variable given=\$given_$variable"
        if [ "$given" = no ]; then
            eval "opt_$variable=\$was_$variable"
        elif [ "$settled" = yes ] && [ "$row_kept" = run ] && [ "$was" != "$now" ]; then
            die 2 "$1: the run was begun with --$row_name ${was:-not given}, and now it is $now;" \
                "leave the option out to go on, or name another folder"
        fi
    done <<EOT
$options
EOT
}

read_setting() { # NAME VALUE
    find_option "$1"
    if [ "$matches" -ne 1 ] || [ "$found" != "$1" ]; then
        die 2 "$settings_file:$line_number: '$1' is no setting; mend or remove the line"
    fi
    check_value "$found_type" "$2"
    [ -z "$wrong" ] || die 2 "$settings_file:$line_number: $1 '$2': $wrong"
    variable_of "$1"
    setting_value=$2
    eval "was_$variable=\$setting_value"
}

write_settings() { # FILE
    print_settings | put_file "$1" || exit 3
}

print_settings() {
    printf '# Settings of this run, kept by seki %s; one name=value a line.\n' "$VERSION"
    while IFS='|' read -r row_name row_letter row_type row_kept row_default row_argument row_help; do
        case $row_type$row_kept in heading* | *no) continue ;; esac
        variable_of "$row_name"
        eval "now=\$opt_$variable"
        case $row_name=$now in
        base-url=*[@?]*) echo '# base-url may hold a password or a key, and is not kept: give it again to go on' ;;
        *=) ;;
        *) printf '%s=%s\n' "$row_name" "$now" ;;
        esac
    done <<EOT
$options
EOT
}
