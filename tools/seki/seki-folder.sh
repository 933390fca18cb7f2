# shellcheck shell=sh disable=SC2034,SC2094,SC2154 # variables are shared by the files of the driver
# seki-folder.sh - the files of a run folder: one driver at a time, lines that are whole or not
# there, and what ends with the driver.

# ---- One driver a folder -------------------------------------------------------------------

# The lock is held through descriptor 9 by the driver and the programs that it starts; the kernel
# lets it go with the last of them, however they end.
lock_folder() { # FOLDER
    need flock util-linux
    [ -w "$1" ] || die 3 "$1 cannot be written to"
    exec 9>>"$1/.lock"
    if ! flock -n 9; then
        note "waits for the other seki that works on $1 (process $(cat "$1/.lock"))"
        flock -w 10 9 || die 3 "$1: another seki, process $(cat "$1/.lock"), or a program that it" \
            'started still works on it; end that, or wait'
    fi
    printf '%s\n' "$$" >"$1/.lock"
}

# ---- Lines ---------------------------------------------------------------------------------

# append FILE LINE: one write of the whole line, which is on the disk when this returns. (The shell's
# own printf writes in parts what is longer than its buffer.)
append() {
    printf '%s\n' "$2" | dd of="$1" bs=4M iflag=fullblock oflag=append conv=notrunc,fsync \
        status=none 9>&- || die 3 "$1 cannot be written; nothing before it is lost"
}

# put_file FILE < TEXT: it appears whole or not at all. A link is followed; what is no regular file, a
# pipe or a device, is written to as it is.
put_file() {
    place=$(readlink -f -- "$1") || die 3 "$1 cannot be written: its folder is not there"
    if [ -d "$place" ]; then
        die 2 "$1 is a folder; name a file"
    elif [ -e "$place" ] && [ ! -f "$place" ]; then
        cat >"$place" && return
    else
        cat >"$place.new" && sync -- "$place.new" && mv -fT -- "$place.new" "$place" && return
    fi
    die 3 "$1 cannot be written"
}

# All lines but a last one without its newline, which is just being written or was cut.
whole_lines() { # FILE
    if [ -s "$1" ] && [ "$(tail -c 1 -- "$1" | wc -l)" -eq 0 ]; then
        sed '$d' "$1"
    else
        cat -- "$1"
    fi
}

# The number of the first whole line that is no JSON object; nothing where there is none.
bad_line() { # FILE
    whole_lines "$1" | jq -nR 'first(inputs
        | select(try (fromjson | type != "object") catch true) | input_line_number)'
}

# Takes away a last line that was cut, as by a full disk or a machine that went down.
repair() { # FILE
    [ -s "$1" ] || return 0
    [ "$(tail -c 1 -- "$1" | wc -l)" -eq 0 ] || return 0
    cut=$(tail -n 1 -- "$1" | wc -c)
    truncate -s "-$cut" -- "$1" || die 3 "$1 cannot be written"
    note "$1: took away a last line that was cut"
}

# A setting of the search, as its file has it.
setting_of() { # NAME
    sed -n "s/^$1=//p" "$run/settings"
}

# ---- Children ------------------------------------------------------------------------------

child='' eval_process='' look_process='' pipes=''

# Programs run beside the shell, which so can end them when it is told to end.
await() { # sets $ended
    wait "$child" 2>/dev/null
    ended=$?
    child=
}

clean_up() {
    [ -z "$pipes" ] || rm -rf -- "$pipes"
}

stop() { # STATUS
    trap - HUP INT TERM
    for process in $child $eval_process $look_process; do
        kill -TERM "$process" 2>/dev/null
    done
    wait 2>/dev/null # dash tells of each that a signal ended
    note 'stopped; the same command again goes on from here'
    exit "$1"
}

# A folder for pipes; one that a killed driver left is taken away. A named pipe is opened by the driver
# at both ends before a program starts that has one of them: to open one end alone is to wait for the
# other, in vain where that program has been ended meanwhile. A program's ends are 7 and 8 until it has
# them; 9 is the lock.
make_pipes() { # FOLDER
    pipes=$1/.pipes
    trap clean_up EXIT
    trap 'stop 129' HUP
    trap 'stop 130' INT
    trap 'stop 143' TERM
    trap : PIPE # a write to a program that has ended fails
    rm -rf -- "$pipes"
    mkdir -- "$pipes" || die 3 "$pipes cannot be made"
}

end_with() { # STATUS PROGRAM: what a program that failed means for the run
    case $1 in
    1) ended=1 ;;
    2) die 2 "$2 cannot work with these settings; mend what it names and run 'seki $verb $run' again" ;;
    *) ended=3 ;;
    esac
    die "$ended" "$2 ended with status $1; 'seki $verb $run' goes on from here"
}

# ---- Time ----------------------------------------------------------------------------------

# Hundredths of a second on a clock that nobody sets, without starting a program.
read_clock() { # sets $clock
    read -r clock _ </proc/uptime
    clock=${clock%.*}${clock#*.}
}

format_time() { # HUNDREDTHS: sets $time as 2:31 or 1:02:31
    whole=$((($1 + 50) / 100))
    if [ "$whole" -ge 3600 ]; then
        time=$(printf '%d:%02d:%02d' $((whole / 3600)) $((whole / 60 % 60)) $((whole % 60)))
    else
        time=$(printf '%d:%02d' $((whole / 60)) $((whole % 60)))
    fi
}

# ---- Training ------------------------------------------------------------------------------

# take_epochs FILE COMMAND…: runs a program that trains and appends its epochs to FILE, those that
# are there already left out; any other line is left in $last_line. The program's own standard
# output would hold lines back, were it the file.
take_epochs() {
    epochs_file=$1 last_line=
    shift
    : >>"$epochs_file" || die 3 "$epochs_file cannot be written"
    repair "$epochs_file"
    last_epoch=$(tail -n 1 -- "$epochs_file" | sed -n 's/^{"epoch": \([0-9]*\).*/\1/p')
    last_epoch=${last_epoch:-0}
    mkfifo -- "$pipes/epochs" || die 3 "$pipes/epochs cannot be made"
    exec 8<>"$pipes/epochs" 7<"$pipes/epochs" 8>"$pipes/epochs"
    "$@" <"$input" >&8 7<&- 8>&- &
    child=$!
    exec 8>&-
    while IFS= read -r line; do
        case $line in
        '{"epoch": '*) append_epoch "$line" ;;
        *) last_line=$line ;;
        esac
    done <&7
    exec 7<&-
    rm -f -- "$pipes/epochs"
    await
}

# Without a program on the way for a line that is new: what is in the pipe when all are killed is
# lost.
append_epoch() { # LINE
    epoch=${1#'{"epoch": '}
    epoch=${epoch%%[!0-9]*}
    case ${epoch:-0} in
    0 | ????????*) die 3 "a line of no epoch came: $1" ;;
    esac
    [ "$epoch" -gt "$last_epoch" ] || return 0
    printf '%s\n' "$1" >>"$epochs_file" || die 3 "$epochs_file cannot be written"
    last_epoch=$epoch
}
